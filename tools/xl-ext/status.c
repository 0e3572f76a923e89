/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status.c - What is protected on this host: every socket, asked */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "control.h"
#include "number.h"
#include "opts.h"
#include "prim.h"
#include "sec.h"
#include "status.h"

#define ANSWER_MS 3000 /* a worker answers at once, or it hangs */

static bool is_socket_name(const char *name)
{
    return strlen(name) == STATUS_UUID_LEN + strlen(CONTROL_SUFFIX) &&
           name[0] != '.' &&
           !strcmp(name + STATUS_UUID_LEN, CONTROL_SUFFIX);
}

static int filter(const struct dirent *d)
{
    return is_socket_name(d->d_name);
}

bool status_any(void)
{
    DIR *dir = opendir(control_dir());
    struct dirent *d;
    bool found = false;

    if (!dir) return false;
    while (!found && (d = readdir(dir)))
        found = is_socket_name(d->d_name);
    closedir(dir);
    return found;
}

/* ---- One answer --------------------------------------------------------- */

static yajl_val get(const struct status *s, const char *key, yajl_type type)
{
    const char *path[] = { key, NULL };

    return s->tree ? yajl_tree_get(s->tree, path, type) : NULL;
}

const char *status_text(const struct status *s, const char *key)
{
    yajl_val v = get(s, key, yajl_t_string);

    return v ? YAJL_GET_STRING(v) : "";
}

bool status_number(const struct status *s, const char *key, long long *v_r)
{
    yajl_val v = get(s, key, yajl_t_number);

    *v_r = 0;
    if (!v || !YAJL_IS_INTEGER(v)) return false;
    *v_r = YAJL_GET_INTEGER(v);
    return true;
}

bool status_is_primary(const struct status *s)
{
    return !strcmp(status_text(s, "role"), "primary");
}

int status_parse(struct status *s, char *json)
{
    char why[128] = "";
    long long rc;

    s->json = json;
    s->tree = yajl_tree_parse(json, why, sizeof(why));
    why[strcspn(why, "\n")] = 0;
    if (!s->tree || !YAJL_IS_OBJECT(s->tree))
        return xlc_error_set(&s->err, -EPROTO, "%s: the answer is no JSON "
                             "object: %s", s->path, why);
    if (!status_number(s, "rc", &rc))
        return xlc_error_set(&s->err, -EPROTO, "%s: the answer has no rc",
                             s->path);
    if (rc)
        return xlc_error_set(&s->err, -EPROTO, "%s: %s", s->path,
                             status_text(s, "error"));
    if (!*status_text(s, "domain") || !*status_text(s, "role"))
        return xlc_error_set(&s->err, -EPROTO, "%s: the answer names no "
                             "domain and role", s->path);
    return 0;
}

static int ask(struct status *s, const char *name)
{
    char *json = NULL;

    memcpy(s->uuid, name, STATUS_UUID_LEN);
    if (asprintf(&s->path, "%s/%s", control_dir(), name) < 0) {
        s->path = NULL;
        return -ENOMEM;
    }
    if (!control_ask(s->path, CONTROL_STATUS, ANSWER_MS, &json, &s->err))
        status_parse(s, json);
    return 0;
}

/* ---- All of them -------------------------------------------------------- */

int statuses_get(struct statuses *s, struct xlc_error *err)
{
    struct dirent **names = NULL;
    int r = 0, n;

    *s = (struct statuses){ NULL, 0 };
    n = scandir(control_dir(), &names, filter, alphasort);
    if (n < 0 && errno == ENOENT) return 0;
    if (n < 0)
        return xlc_error_set(err, -errno, "can't read %s: %s",
                             control_dir(), strerror(errno));
    s->v = calloc((size_t)n + 1, sizeof(*s->v));
    for (int i = 0; i < n; i++) {
        if (s->v && !r) {
            r = ask(&s->v[s->n], names[i]->d_name);
            /* It ended while we were asking. */
            if (s->v[s->n].err.status == -ENOENT) {
                free(s->v[s->n].path);
                s->v[s->n] = (struct status){ .path = NULL };
            } else if (!r) {
                s->n++;
            }
        }
        free(names[i]);
    }
    free(names);
    if (!s->v || r) return xlc_error_set(err, -ENOMEM, "out of memory");
    return 0;
}

void statuses_free(struct statuses *s)
{
    for (unsigned int i = 0; i < s->n; i++) {
        free(s->v[i].path);
        free(s->v[i].json);
        yajl_tree_free(s->v[i].tree);
    }
    free(s->v);
    *s = (struct statuses){ NULL, 0 };
}

bool status_is(const struct status *s, const char *what, bool stock)
{
    const char *name = status_text(s, "domain");
    size_t len = strlen(name);
    long long domid;
    uint64_t n;

    if (number_parse(what, &n)) /* 0: not known yet; it is nobody's copy */
        return status_number(s, "domid", &domid) && domid > 0 &&
               n == (uint64_t)domid;
    if (!stock && !strcasecmp(what, s->uuid)) return true;
    if (!len) return false;
    if (!status_is_primary(s) && !strncmp(what, name, len) &&
        (!strcmp(what + len, STATUS_INCOMING) ||
         !strcmp(what + len, STATUS_COLO)))
        return true;
    return !strcmp(what, name) && (!stock || status_is_primary(s));
}

bool status_is_over(const struct status *s)
{
    const char *state = status_text(s, "state");

    if (status_is_primary(s)) {
        for (unsigned int i = PRIM_SOLO; i < PRIM_NSTATES; i++)
            if (!strcmp(state, prim_state_name(i))) return true;
        return false;
    }
    return !strcmp(state, sec_state_name(SEC_OPEN)) ||
           !strcmp(state, sec_state_name(SEC_ASIDE)) ||
           !strcmp(state, sec_state_name(SEC_OVER)) ||
           !strcmp(state, sec_state_name(SEC_DROPPED)) ||
           !strcmp(state, sec_state_name(SEC_FAILED));
}

const struct status *statuses_find(const struct statuses *s,
                                   const char *what, struct xlc_error *err)
{
    const struct status *found = NULL;

    for (unsigned int i = 0; i < s->n; i++) {
        if (!status_is(&s->v[i], what, false)) continue;
        if (found) {
            xlc_error_set(err, -ENOTUNIQ, "'%.80s' means more than one "
                          "domain: say its uuid", what);
            return NULL;
        }
        found = &s->v[i];
    }
    if (!found)
        xlc_error_set(err, -ENOENT, "domain '%.80s' is not protected on "
                      "this host (`xl remus-status` lists what is)", what);
    return found;
}
