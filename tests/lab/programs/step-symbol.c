/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* step-symbol.c - Where a function of a running program is; see step-stop.h */
#include <config.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "step-stop.h"

/**
 * struct program - the file that a process runs, in memory
 * @len: octets of @at
 */
struct program {
    const uint8_t *at;
    uint64_t len;
};

/* Octets of the file, or NULL if there are not so many. */
static const void *piece(const struct program *p, uint64_t off, uint64_t len)
{
    return off <= p->len && len <= p->len - off ? p->at + off : NULL;
}

static int map_program(pid_t pid, struct program *p, struct xlc_error *err)
{
    CLEANUP_FD int fd = -1;
    struct stat st;
    char path[64];
    void *at;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        return xlc_error_set(err, -errno, "%s: %s", path, strerror(errno));
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return xlc_error_set(err, -errno, "%s: %s", path, strerror(errno));
    *p = (struct program){ at, (uint64_t)st.st_size };
    return 0;
}

/* How far from the addresses in the file it was loaded. */
static int find_bias(pid_t pid, uint64_t entry, uint64_t *bias_r,
                     struct xlc_error *err)
{
    CLEANUP_FD int fd = -1;
    Elf64_auxv_t one;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/auxv", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && read(fd, &one, sizeof(one)) == sizeof(one)) {
        if (one.a_type != AT_ENTRY) continue;
        *bias_r = one.a_un.a_val - entry;
        return 0;
    }
    return xlc_error_set(err, -ENOENT, "%s does not say where the program "
                         "was loaded", path);
}

static int search(const struct program *p, const Elf64_Shdr *symbols,
                  const Elf64_Shdr *names, const char *name,
                  uint64_t *value_r)
{
    const Elf64_Sym *sym = piece(p, symbols->sh_offset, symbols->sh_size);
    const char *text = piece(p, names->sh_offset, names->sh_size);
    uint64_t value = 0;

    if (!sym || !text || !names->sh_size || text[names->sh_size - 1])
        return -EINVAL;
    for (uint64_t i = 0; i < symbols->sh_size / sizeof(*sym); i++) {
        if (ELF64_ST_TYPE(sym[i].st_info) != STT_FUNC || !sym[i].st_value ||
            sym[i].st_name >= names->sh_size ||
            strcmp(text + sym[i].st_name, name))
            continue;
        if (value && value != sym[i].st_value) return -EEXIST;
        value = sym[i].st_value;
    }
    *value_r = value;
    return value ? 0 : -ENOENT;
}

static int look_up(const struct program *p, const char *name,
                   uint64_t *value_r, uint64_t *entry_r)
{
    const Elf64_Ehdr *head = piece(p, 0, sizeof(*head));
    const Elf64_Shdr *sections;

    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) ||
        head->e_ident[EI_CLASS] != ELFCLASS64)
        return -EINVAL;
    *entry_r = head->e_entry;
    sections = piece(p, head->e_shoff,
                     (uint64_t)head->e_shnum * sizeof(*sections));
    for (unsigned int i = 0; sections && i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB &&
            sections[i].sh_link < head->e_shnum)
            return search(p, &sections[i], &sections[sections[i].sh_link],
                          name, value_r);
    return -ENODATA;
}

int step_symbol(pid_t pid, const char *name, uint64_t *at_r,
                struct xlc_error *err)
{
    uint64_t value = 0, entry = 0, bias = 0;
    struct program p = { NULL, 0 };
    int r = map_program(pid, &p, err);

    if (r) return r;
    r = look_up(&p, name, &value, &entry);
    munmap((void *)p.at, p.len);
    if (r)
        return xlc_error_set(err, r, "%s: %s", name, r == -ENOENT ?
                             "the program has no such function" :
                             r == -EEXIST ? "more than one function has this "
                             "name" : "the program has no symbols");
    r = find_bias(pid, entry, &bias, err);
    if (!r) *at_r = bias + value;
    return r;
}
