/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status-show.c - What is protected on this host, in a table and as JSON */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "status.h"

#define CELL_MAX 128

/* Text from a status object, for a terminal. */
static const char *clean(char cell[CELL_MAX], const char *text)
{
    xlc_sanitise(cell, CELL_MAX, text,
                 (unsigned int)strnlen(text, CELL_MAX));
    return *cell ? cell : "-";
}

static void cell_text(char cell[CELL_MAX], const struct status *s,
                      const char *key)
{
    char text[CELL_MAX];

    snprintf(cell, CELL_MAX, "%s", clean(text, status_text(s, key)));
}

static void cell_state(char cell[CELL_MAX], const struct status *s,
                       const char *key)
{
    char text[CELL_MAX];
    long long percent;

    clean(text, status_text(s, key));
    if (!strcmp(text, "syncing") &&
        status_number(s, "sync_percent", &percent))
        snprintf(cell, CELL_MAX, "%.100s %lld%%", text, percent);
    else
        snprintf(cell, CELL_MAX, "%s", text);
}

/* The newest epoch that a failover now would run. */
static void cell_epoch(char cell[CELL_MAX], const struct status *s,
                       const char *key)
{
    long long v;

    key = status_is_primary(s) ? key : "epoch_accepted";
    if (status_number(s, key, &v)) snprintf(cell, CELL_MAX, "%lld", v);
    else snprintf(cell, CELL_MAX, "-");
}

static void cell_us(char cell[CELL_MAX], const struct status *s,
                    const char *key)
{
    long long v;

    if (status_number(s, key, &v))
        snprintf(cell, CELL_MAX, "%lld.%lld", v / 1000,
                 v % 1000 / 100);
    else
        snprintf(cell, CELL_MAX, "-");
}

static void cell_number(char cell[CELL_MAX], const struct status *s,
                        const char *key)
{
    long long v;

    if (status_number(s, key, &v)) snprintf(cell, CELL_MAX, "%lld", v);
    else snprintf(cell, CELL_MAX, "-");
}

void status_bytes(char *text, size_t size, long long v)
{
    static const char units[] = "BKMGT";
    long long tenth = 0;
    unsigned int u = 0;

    if (v < 0) {
        snprintf(text, size, "-");
        return;
    }
    for (; v >= 1024 && u < 4; u++) {
        tenth = v % 1024 * 10 / 1024;
        v /= 1024;
    }
    if (u) snprintf(text, size, "%lld.%lld%c", v, tenth, units[u]);
    else snprintf(text, size, "%lldB", v);
}

static void cell_bytes(char cell[CELL_MAX], const struct status *s,
                       const char *key)
{
    long long v;

    status_bytes(cell, CELL_MAX, status_number(s, key, &v) ? v : -1);
}

/**
 * columns - the table
 * @head: its title
 * @width: at least; negative is flush left
 * @key: of the status object
 * @fill: writes the cell
 */
static const struct {
    const char *head;
    int width;
    const char *key;
    void (*fill)(char cell[CELL_MAX], const struct status *s,
                 const char *key);
} columns[] = {
    { "Domain", -20, "domain", cell_text },
    { "Role", -9, "role", cell_text },
    { "State", -12, "state", cell_state },
    { "Peer", -16, "peer", cell_text },
    { "Epoch", 8, "epoch_committed", cell_epoch },
    { "Pause/ms", 8, "pause_us", cell_us },
    { "Every/ms", 8, "interval_ms", cell_number },
    { "Held", 8, "held_bytes", cell_bytes },
};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))

static void put(FILE *out, size_t i, const char *cell)
{
    bool last = i == NCOLUMNS - 1;

    fprintf(out, "%*s%s", columns[i].width, cell, last ? "\n" : " ");
}

static void warnings(FILE *out, const struct status *s)
{
    const char *path[] = { "warnings", NULL };
    yajl_val v = yajl_tree_get(s->tree, path, yajl_t_array);
    char text[512];

    for (size_t i = 0; v && i < YAJL_GET_ARRAY(v)->len; i++) {
        const char *w = YAJL_GET_STRING(YAJL_GET_ARRAY(v)->values[i]);

        if (!w) continue;
        xlc_sanitise(text, sizeof(text), w,
                     (unsigned int)strnlen(w, sizeof(text)));
        fprintf(out, "  warning: %s\n", text);
    }
}

void statuses_table(FILE *out, const struct statuses *s)
{
    char cell[CELL_MAX];

    for (size_t i = 0; i < NCOLUMNS; i++)
        put(out, i, columns[i].head);
    for (unsigned int k = 0; k < s->n; k++) {
        if (s->v[k].err.status) continue;
        for (size_t i = 0; i < NCOLUMNS; i++) {
            columns[i].fill(cell, &s->v[k], columns[i].key);
            put(out, i, cell);
        }
        if (*status_text(&s->v[k], "config")) {
            cell_text(cell, &s->v[k], "config");
            fprintf(out, "  settings from %s\n", cell);
        }
        warnings(out, &s->v[k]);
    }
}

void statuses_json(FILE *out, const struct statuses *s,
                   const struct status *only)
{
    const char *sep = "[";

    for (unsigned int i = 0; i < s->n; i++) {
        if (s->v[i].err.status || (only && only != &s->v[i])) continue;
        fprintf(out, "%s%s", sep, s->v[i].json);
        sep = ",\n";
    }
    fprintf(out, "%s]\n", *sep == '[' ? "[" : "");
}

void statuses_complain(FILE *out, const struct statuses *s)
{
    for (unsigned int i = 0; i < s->n; i++) {
        const struct status *v = &s->v[i];

        if (v->err.status == -ECONNREFUSED)
            fprintf(out, "xl: %s is what a killed process left behind: "
                    "nobody answers there. Look whether the domain runs "
                    "here and on the other host (`xl list -v`), and what is "
                    "left of its network buffer (`remus-netbuf list`); then "
                    "`rm %s`, or protect the domain again.\n",
                    v->path, v->path);
        else if (v->err.status)
            fprintf(out, "xl: %s\n", v->err.msg);
    }
}
