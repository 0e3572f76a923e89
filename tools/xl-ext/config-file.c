/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config-file.c - colo="…" in a domain's configuration file */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libxlutil.h>

#include "cleanup.h"
#include "config-file.h"
#include "number.h"
#include "opts.h"
#include "xl.h"

static const char *config_dir = XL_CONFIG_DIR;

void config_file_set_dir(const char *dir)
{
    config_dir = dir;
}

/* ---- The file --------------------------------------------------------- */

/* All of it. Return: its length, or a negative errno */
static ssize_t slurp(const char *path, char **data_r, struct xlc_error *err)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP_FREE char *data = NULL;
    struct stat st;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return xlc_error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return xlc_error_set(err, -EINVAL, "%s: it is no file", path);
    data = malloc(CONFIG_FILE_MAX + 1);
    if (!data) return xlc_error_set(err, -ENOMEM, "out of memory");
    while (len <= CONFIG_FILE_MAX) {
        ssize_t n = read(fd, data + len, CONFIG_FILE_MAX + 1 - len);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return xlc_error_set(err, -errno, "%s: %s", path,
                                 strerror(errno));
        if (!n) break;
        len += (size_t)n;
    }
    if (len > CONFIG_FILE_MAX)
        return xlc_error_set(err, -EFBIG, "%s: it is too long for a domain's "
                             "configuration", path);
    if (memchr(data, 0, len))
        return xlc_error_set(err, -EINVAL, "%s: it is no text", path);
    *data_r = steal_ptr(&data);
    return (ssize_t)len;
}

/* The first line of what the parser had to say. */
static int garbled(const char *path, const char *report,
                   struct xlc_error *err)
{
    char text[200];

    xlc_sanitise(text, sizeof(text), report ? report : "",
                 (unsigned int)strcspn(report ? report : "", "\n"));
    return xlc_error_set(err, -EINVAL, "%s: it is no configuration of a "
                         "domain: %s", path, text);
}

/* The text of @key, or NULL. Return: 0, or -EINVAL if it is no text */
static int get(XLU_Config *cfg, const char *path, const char *key,
               const char **text_r, struct xlc_error *err)
{
    int r = xlu_cfg_get_string(cfg, key, text_r, 1);

    if (r) *text_r = NULL;
    if (r && r != ESRCH)
        return xlc_error_set(err, -EINVAL, "%s: %s is no text: write "
                             "%s=\"…\"", path, key, key);
    return 0;
}

/* A file that nobody named must really be this domain's. */
static int is_of(XLU_Config *cfg, const char *path, const char *domain,
                 struct xlc_error *err)
{
    const char *name;
    char shown[64];
    int r = get(cfg, path, "name", &name, err);

    if (r || !name || !strcmp(name, domain)) return r;
    xlc_sanitise(shown, sizeof(shown), name, (unsigned int)strlen(name));
    return xlc_error_set(err, -EINVAL, "%s: it is of domain '%s', not of "
                         "'%s': say --config FILE, or --config '' for none",
                         path, shown, domain);
}

/* @domain: whose it must be; NULL if the file was named. */
static int parse(struct xl_config *c, const char *domain,
                 struct xlc_error *err)
{
    CLEANUP_FREE char *data = NULL, *report = NULL;
    const char *colo = NULL;
    ssize_t len = slurp(c->path, &data, err);
    XLU_Config *cfg;
    size_t size;
    FILE *out;
    int r = 0;

    if (len < 0) return (int)len;
    out = open_memstream(&report, &size);
    cfg = out ? xlu_cfg_init(out, c->path) : NULL;
    if (!cfg) r = xlc_error_set(err, -ENOMEM, "out of memory");
    if (!r && xlu_cfg_readdata(cfg, data, (int)len)) {
        fflush(out);
        r = garbled(c->path, report, err);
    }
    if (!r) r = get(cfg, c->path, "colo", &colo, err);
    if (!r && colo && domain) r = is_of(cfg, c->path, domain, err);
    if (!r && colo && !(c->text = strdup(colo)))
        r = xlc_error_set(err, -ENOMEM, "out of memory");
    if (cfg) xlu_cfg_destroy(cfg);
    if (out) fclose(out);
    return r;
}

/* ---- Which file ------------------------------------------------------- */

/* Does it say which domain, but not its name? */
static bool is_number_or_uuid(const char *domain)
{
    uint64_t n;

    return number_parse(domain, &n) ||
           (strlen(domain) == 36 &&
            strspn(domain, "0123456789abcdefABCDEF-") == 36);
}

/* The one that is called after the domain, if it is there. */
static int of_domain(struct xl_config *c, const char *domain,
                     struct xlc_error *err)
{
    CLEANUP_FREE char *name = is_number_or_uuid(domain) ?
                              domain_name(domain) : strdup(domain);

    /* One that is not here is somebody else's to complain about. */
    if (!name || !*name || strchr(name, '/')) return 0;
    if (asprintf(&c->path, "%s/%s.cfg", config_dir, name) < 0) {
        c->path = NULL;
        return xlc_error_set(err, -ENOMEM, "out of memory");
    }
    if (access(c->path, F_OK) < 0 && errno == ENOENT) return 0;
    if (parse(c, name, err)) {
        if (!strstr(err->msg, "--config"))
            xlc_error_wrap(err, "its own configuration can't be used "
                           "(--config '' does without)");
        return err->status;
    }
    return 0;
}

int config_file_read(struct xl_config *c, const char *path,
                     const char *domain, struct xlc_error *err)
{
    int r;

    *c = (struct xl_config){ NULL, NULL };
    if (!path) return of_domain(c, domain, err);
    if (!*path) return 0;
    c->path = realpath(path, NULL); /* status shows it to others */
    if (!c->path)
        return xlc_error_set(err, -errno, "%s: %s", path, strerror(errno));
    r = parse(c, NULL, err);
    if (!r && !c->text)
        r = xlc_error_set(err, -EINVAL, "%s: it has no colo=\"…\"", path);
    return r;
}

void config_file_free(struct xl_config *c)
{
    free(c->path);
    free(c->text);
    *c = (struct xl_config){ NULL, NULL };
}
