/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* live.c - Change how a guest is protected while it is */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "live.h"
#include "number.h"

#define WORD_MAX 48

/* What is not in the policy's table of numbers. */
static const char mode_key[] = "mode";

bool live_matters(const struct policy_key *k, bool colo)
{
    return colo || !strcmp(k->name, "interval");
}

/* ---- One "key=value" -------------------------------------------------- */

static int no_such(const char *key, bool colo, struct xlc_error *err)
{
    char names[400], shown[WORD_MAX];
    size_t n = 0;

    xlc_sanitise(shown, sizeof(shown), key, (unsigned int)strlen(key));
    for (const struct policy_key *k = policy_keys;
         k->name && n < sizeof(names); k++)
        if (live_matters(k, colo))
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s, ",
                                  k->name);
    return xlc_error_set(err, -EINVAL, "%s: no setting that can be changed "
                         "while protection runs; these are: %s%s", shown,
                         names, mode_key);
}

static int set_mode(struct policy_set *set, bool colo, const char *value,
                    const char *shown, struct xlc_error *err)
{
    enum policy_wish w = policy_wish_find(value);

    if (w == POLICY_NWISHES)
        return xlc_error_set(err, -EINVAL, "%s %s: it must be auto, colo or "
                             "remus", mode_key, shown);
    if (!colo && w != set->wish)
        return xlc_error_set(err, -EINVAL, "%s %s: the copy of this domain "
                             "can't run beside it; only mode %s works",
                             mode_key, shown, policy_wish_name(set->wish));
    set->wish = w;
    return 0;
}

static int set_key(struct policy_set *set, bool colo, const char *key,
                   const char *value, struct xlc_error *err)
{
    const struct policy_key *k = policy_key_find(key);
    char shown[WORD_MAX];
    uint64_t v;

    xlc_sanitise(shown, sizeof(shown), value, (unsigned int)strlen(value));
    if (!strcmp(key, mode_key))
        return set_mode(set, colo, value, shown, err);
    if (!k) return no_such(key, colo, err);
    if (!number_parse(value, &v))
        return xlc_error_set(err, -EINVAL, "%s %s: it must be %u to %u %s",
                             k->name, shown, k->min, k->max, k->unit);
    if (!live_matters(k, colo)) {
        struct policy_set copy = *set;
        int r = policy_set_put(&copy, k, v, err);

        return r ? r : xlc_error_set(err, -EINVAL, "%s %s: it would change "
                                     "nothing: it is for mode colo, and the "
                                     "copy of this domain does not run "
                                     "beside it", k->name, shown);
    }
    return policy_set_put(set, k, v, err);
}

/* One word of the text. Return: its length, or 0 if it is too long */
static size_t take(char word[WORD_MAX], const char *s, const char *end)
{
    size_t len = strcspn(s, end);

    if (len >= WORD_MAX) return 0;
    memcpy(word, s, len);
    word[len] = 0;
    return len;
}

int live_parse(struct policy_set *set, bool colo, const char *text,
               struct xlc_error *err)
{
    struct policy_set now = *set;
    int r;

    for (const char *s = text;; s++) {
        char key[WORD_MAX] = "", value[WORD_MAX] = "";
        size_t len = take(key, s, " =");

        if (!len || s[len] != '=') {
            take(key, s, " ");
            return xlc_error_set(err, -EINVAL, "'%s': it must be key=value",
                                 key);
        }
        for (const char *p = text; p < s; p += strcspn(p, " ") + 1)
            if (!strncmp(p, s, len + 1))
                return xlc_error_set(err, -EINVAL, "%s: more than once",
                                     key);
        s += len + 1;
        len = strcspn(s, " ");
        if (len && !take(value, s, " "))
            return xlc_error_set(err, -EINVAL, "%s: such a long value makes "
                                 "no sense", key);
        r = set_key(&now, colo, key, value, err);
        if (r) return r;
        s += len;
        if (!*s) break;
    }
    *set = now;
    return 0;
}

void live_changes(char *text, size_t size, const struct policy_set *was,
                  const struct policy_set *is)
{
    size_t n = 0;

    if (!size) return;
    *text = 0;
    if (was->wish != is->wish)
        n = (size_t)snprintf(text, size, "%s %s -> %s", mode_key,
                             policy_wish_name(was->wish),
                             policy_wish_name(is->wish));
    for (const struct policy_key *k = policy_keys; k->name && n < size; k++) {
        unsigned int a = policy_set_get(was, k), b = policy_set_get(is, k);

        if (a != b)
            n += (size_t)snprintf(text + n, size - n, "%s%s %u -> %u %s",
                                  n ? ", " : "", k->name, a, b, k->unit);
    }
}
