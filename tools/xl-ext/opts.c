/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* opts.c - Command line options as tables */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "number.h"
#include "opts.h"

#define OPTS_MAX  40
#define LONG_BASE 0x100 /* what getopt_long() returns for the first one */

bool opts_size(const char *s, uint64_t *v_r)
{
    static const char units[] = "KMG";
    char digits[24];
    size_t len = strlen(s);
    const char *unit;
    uint64_t v, factor = 1;

    if (len < 1 || len >= sizeof(digits)) return false;
    memcpy(digits, s, len + 1);
    unit = memchr(units, digits[len - 1] & ~0x20, 3); /* k is K */
    if (unit) {
        digits[len - 1] = 0;
        factor = 1024u << 10 * (unit - units);
    }
    if (!number_parse(digits, &v) || __builtin_mul_overflow(v, factor, &v))
        return false;
    *v_r = v;
    return true;
}

/* "-i" or "--interval", as it was typed. */
static void show(char *buf, size_t size, const struct opt *o, bool by_name)
{
    if (by_name) snprintf(buf, size, "--%s", o->name);
    else snprintf(buf, size, "-%c", o->letter);
}

/* A number of octets as people write it. */
static void show_bound(char *buf, size_t size, const struct opt *o,
                       uint64_t v)
{
    static const char units[] = "\0KMG";
    unsigned int i = 0;

    if (o->kind == OPT_SIZE)
        for (; v && v % 1024 == 0 && i < 3; i++)
            v /= 1024;
    snprintf(buf, size, "%" PRIu64 "%.1s", v, units + i);
}

static int set_number(const struct opt *o, void *into, const char *name,
                      const char *arg, struct xlc_error *err)
{
    char *at = (char *)into + o->where, min[32], max[32];
    uint64_t v;
    bool good = o->kind == OPT_SIZE ? opts_size(arg, &v) :
                                      number_parse(arg, &v);

    if (!good || v < o->min || v > o->max) {
        show_bound(min, sizeof(min), o, o->min);
        show_bound(max, sizeof(max), o, o->max);
        return xlc_error_set(err, -EINVAL,
                             "%s %.64s: it must be %s to %s%s%s", name, arg,
                             min, max, o->unit ? " " : "",
                             o->unit ? o->unit : "");
    }
    if (o->kind == OPT_U16) *(uint16_t *)(void *)at = (uint16_t)v;
    else if (o->kind == OPT_U32) *(uint32_t *)(void *)at = (uint32_t)v;
    else *(uint64_t *)(void *)at = v;
    return 0;
}

static int set_list(const struct opt *o, void *into, const char *name,
                    const char *arg, struct xlc_error *err)
{
    const char **list = (void *)((char *)into + o->where);
    unsigned int *n = (void *)((char *)into + o->count);

    if (!*arg)
        return xlc_error_set(err, -EINVAL, "%s: an empty %s", name, o->arg);
    if (*n >= o->max)
        return xlc_error_set(err, -EINVAL, "%s %.64s: at most %" PRIu64
                             " of them", name, arg, o->max);
    list[(*n)++] = arg;
    return 0;
}

/* @name is what the option is called in sentences. */
static int set(const struct opt *o, const char *name, void *into,
               struct opt_notes *notes, const char *arg,
               struct xlc_error *err)
{
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)(void *)((char *)into + o->where) = true;
        return 0;
    case OPT_U16:
    case OPT_U32:
    case OPT_SIZE:
        return set_number(o, into, name, arg, err);
    case OPT_STRING:
        *(const char **)(void *)((char *)into + o->where) = arg;
        return 0;
    case OPT_LIST:
        return set_list(o, into, name, arg, err);
    case OPT_NOTE:
        for (unsigned int i = 0; notes && i < notes->n; i++)
            if (notes->text[i] == o->text) return 0;
        if (notes && notes->n < OPTS_NOTES_MAX)
            notes->text[notes->n++] = o->text;
        return 0;
    case OPT_REFUSE:
        return xlc_error_set(err, -EINVAL, "%s: %s", name, o->text);
    }
    return -EINVAL;
}

/**
 * struct getopt_tables - an option table in getopt's own form
 * @letters: for short options
 * @longs: for long ones; option @i returns LONG_BASE + i
 */
struct getopt_tables {
    char letters[2 * OPTS_MAX + 3];
    struct option longs[OPTS_MAX + 2];
};

static void translate(struct getopt_tables *t, const struct opt *opts,
                      unsigned int n)
{
    unsigned int c = 0, l = 0;

    memset(t, 0, sizeof(*t));
    t->letters[c++] = ':'; /* tell a missing argument from an unknown one */
    t->letters[c++] = 'h';
    t->longs[l++] = (struct option){ "help", no_argument, NULL, 'h' };
    for (unsigned int i = 0; i < n && i < OPTS_MAX; i++) {
        if (opts[i].letter) t->letters[c++] = opts[i].letter;
        if (opts[i].letter && opts[i].arg) t->letters[c++] = ':';
        if (!opts[i].name) continue;
        t->longs[l++] = (struct option){
            opts[i].name, opts[i].arg ? required_argument : no_argument,
            NULL, LONG_BASE + (int)i };
    }
}

/* What getopt_long() stumbled over. */
static int complain(int c, const struct opt *opts, const char *word,
                    struct xlc_error *err)
{
    const char *what = c == ':' ? "needs an argument" : "no such option";

    if (optopt >= LONG_BASE && c == '?')
        return xlc_error_set(err, -EINVAL, "--%s takes no argument",
                             opts[optopt - LONG_BASE].name);
    if (optopt && optopt < LONG_BASE && word[1] != '-')
        return xlc_error_set(err, -EINVAL, "-%c: %s", optopt, what);
    return xlc_error_set(err, -EINVAL, "%.64s: %s", word, what);
}

int opts_parse(const struct opt *opts, unsigned int n, void *into,
               struct opt_notes *notes, int argc, char **argv,
               struct xlc_error *err)
{
    struct getopt_tables t;
    int c;

    translate(&t, opts, n);
    optind = 0; /* glibc: forget what an earlier call left */
    opterr = 0;
    while ((c = getopt_long(argc, argv, t.letters, t.longs, NULL)) != -1) {
        unsigned int i = 0;
        char name[32];
        int r;

        if (c == 'h') return OPTS_HELP;
        if (c == '?' || c == ':')
            return complain(c, opts, argv[optind - 1], err);
        if (c >= LONG_BASE) i = (unsigned int)(c - LONG_BASE);
        else
            while (i < n && opts[i].letter != c)
                i++;
        show(name, sizeof(name), &opts[i], c >= LONG_BASE);
        r = set(&opts[i], name, into, notes, optarg, err);
        if (r) return r;
    }
    return optind;
}

/* ---- In a file -------------------------------------------------------- */

static bool is_pairs(const struct opt *o)
{
    return o->kind == OPT_LIST && strchr(o->arg, '=');
}

/* One "key=value" or "key". */
static int set_text(const struct opt *opts, unsigned int n, uint64_t *seen,
                    void *into, struct opt_notes *notes, char *text,
                    struct xlc_error *err)
{
    char *value = strchr(text, '='), key[48];
    size_t len = strcspn(text, "=");
    const struct opt *o = NULL;

    xlc_sanitise(key, sizeof(key), text, (unsigned int)len);
    for (unsigned int i = 0; i < n && !o; i++) {
        size_t name = opts[i].name ? strlen(opts[i].name) : 0;
        bool pairs = is_pairs(&opts[i]) && name < len && text[name] == '.';

        if (!name || (!pairs && name != len) ||
            memcmp(text, opts[i].name, name))
            continue;
        if (is_pairs(&opts[i]) && (!pairs || name + 1 == len || !value))
            return xlc_error_set(err, -EINVAL, "%s: %s.%s it must be", key,
                                 opts[i].name, opts[i].arg);
        if (pairs) value = text + name; /* and 1, as behind a '=' */
        o = &opts[i];
        if (o->kind != OPT_LIST && *seen & 1ull << i)
            return xlc_error_set(err, -EINVAL, "%s: more than once", key);
        *seen |= 1ull << i;
    }
    if (!o) return xlc_error_set(err, -EINVAL, "%s: no such key", key);
    if (o->typed)
        return xlc_error_set(err, -EINVAL, "%s: only on the command line",
                             key);
    if (o->arg && !value)
        return xlc_error_set(err, -EINVAL, "%s: needs a value", key);
    if (!o->arg && value) {
        if (strcmp(value, "=0") && strcmp(value, "=1"))
            return xlc_error_set(err, -EINVAL, "%s: it must be 0 or 1", key);
        if (value[1] == '0') return 0;
    }
    return set(o, key, into, notes, value ? value + 1 : NULL, err);
}

int opts_text(const struct opt *opts, unsigned int n, void *into,
              struct opt_notes *notes, char *text, struct xlc_error *err)
{
    uint64_t seen = 0;
    char *piece;

    while ((piece = strsep(&text, ","))) {
        size_t len;
        int r;

        piece += strspn(piece, " \t\r\n");
        for (len = strlen(piece); len && strchr(" \t\r\n", piece[len - 1]);)
            piece[--len] = 0;
        if (!len) return xlc_error_set(err, -EINVAL, "an empty key");
        r = set_text(opts, n, &seen, into, notes, piece, err);
        if (r) return r;
    }
    return 0;
}

static bool same_key(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");

    return len == strcspn(b, "=") && !memcmp(a, b, len);
}

void opts_yield(const struct opt *opts, unsigned int n, void *into,
                const void *strong)
{
    for (const struct opt *o = opts; o < opts + n; o++) {
        const char **list = (void *)((char *)into + o->where);
        const char *const *theirs =
            (const void *)((const char *)strong + o->where);
        unsigned int *count = (void *)((char *)into + o->count);
        unsigned int had, m;

        if (o->kind != OPT_LIST) continue;
        m = *(const unsigned int *)(const void *)((const char *)strong +
                                                  o->count);
        had = *count;
        *count = 0;
        for (unsigned int i = 0; i < had; i++) {
            bool keep = !m || is_pairs(o);

            for (unsigned int k = 0; k < m && keep; k++)
                keep = !same_key(list[i], theirs[k]);
            if (keep) list[(*count)++] = list[i];
        }
    }
}

/* ---- Help ------------------------------------------------------------- */

static void help_one(FILE *out, const struct opt *o)
{
    const char *line = o->text, *end;
    int col = 0;

    if (o->letter) col += fprintf(out, "-%c", o->letter);
    if (o->letter && o->arg) col += fprintf(out, " %s", o->arg);
    if (o->name) col += fprintf(out, "%s--%s", col ? ", " : "", o->name);
    if (o->name && o->arg) col += fprintf(out, " %s", o->arg);
    if (col > 23) col = fprintf(out, "\n") - 1;
    for (; (end = strchr(line, '\n')); line = end + 1, col = 0)
        fprintf(out, "%*s%.*s\n", 24 - col, "", (int)(end - line), line);
    fprintf(out, "%*s%s\n", 24 - col, "", line);
}

void opts_help(FILE *out, const struct opt *opts, unsigned int n)
{
    static const struct opt help = { .letter = 'h', .name = "help",
                                     .text = "Print this help." };

    for (unsigned int i = 0; i < n; i++)
        help_one(out, &opts[i]);
    help_one(out, &help);
}
