/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk-ask.c - What disk-serve can't find out, or change, in a shell
 *
 * disk-ask SOCKET
 *     asks a disk's plugin, and prints "role=ROLE connections=N generation=N"
 *     as one line.
 * disk-ask --alone DEVICE
 *     succeeds if nothing else has claimed the block device: a mount, a
 *     guest's backend, a volume manager.
 * disk-ask --claim alone|paired|handed SOCKET|IDENTITY
 *     notes whether another host may have, or has, taken over from a
 *     primary's image: by its plugin, or, if nothing serves it, in its file.
 * disk-ask --outrank SOCKET|IDENTITY
 *     makes a primary's image newer than that of another host can be that
 *     has taken over from it. 4: its plugin is of an older build, which does
 *     not know the question.
 * disk-ask --may-outrank SOCKET|IDENTITY
 *     would that work? Nothing changes.
 * disk-ask --start IDENTITY HOST
 *     may a guest start from the image, if HOST's answer is what comes on
 *     standard input? 0 yes; 1 no; 3 ask again; 4 the answer tells nothing of
 *     the image; 5 HOST has a newer one; 6 HOST has in use what it took over
 *     from this one: ask again if the guest ran on here. A sentence unless it
 *     is yes.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claim.h"
#include "cleanup.h"
#include "diskctl.h"

#define AGAIN   3
#define UNKNOWN 4
#define NEWER   5
#define TOOK    6

static const char *const roles[] = {
    [DISKCTL_PLAIN] = "plain",
    [DISKCTL_PRIMARY] = "primary",
    [DISKCTL_SECONDARY] = "secondary",
};

static const char *const claims[] = {
    [IDENTITY_ALONE] = "alone",
    [IDENTITY_HAS_PEER] = "paired",
    [IDENTITY_GIVEN] = "handed",
};

/* Return: exit status, always 1 */
static int said(const struct xlc_error *err)
{
    fprintf(stderr, "%s\n", err->msg);
    return 1;
}

static int alone(const char *path)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);

    if (fd >= 0) return 0;
    if (errno == EBUSY)
        fprintf(stderr, "%s is in use on this host: it is mounted, or another "
                "guest has it\n", path);
    else
        fprintf(stderr, "%s can't be opened: %s\n", path, strerror(errno));
    return 1;
}

static int call(const char *path, const struct diskctl_ask *ask,
                struct diskctl_status *st, struct xlc_error *err)
{
    CLEANUP_FD int sock = diskctl_connect(path, DISKCTL_ANSWER_MS, err);

    return sock < 0 ? sock : diskctl_call(sock, ask, -1, st, err);
}

static int ask_plugin(const char *path)
{
    struct diskctl_ask ask = { .op = DISKCTL_STATUS };
    struct xlc_error err = XLC_ERROR_INIT;
    struct diskctl_status st;

    if (call(path, &ask, &st, &err)) return said(&err);
    if (st.role >= sizeof(roles) / sizeof(roles[0])) {
        fprintf(stderr, "the plugin's role is unknown\n");
        return 1;
    }
    printf("role=%s connections=%" PRIu64 " generation=%" PRIu64 "\n",
           roles[st.role], st.connections, st.generation);
    return fflush(stdout) ? 1 : 0;
}

/* ---- Claims -------------------------------------------------------------- */

/* The other host's takeover is one generation. */
#define BEYOND 2u

static bool served(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISSOCK(st.st_mode);
}

static int load(const char *path, struct identity *id, struct xlc_error *err)
{
    int rc = identity_load(&diskio_real, path, id, err);

    if (rc == -ENOENT)
        return xlc_error_set(err, rc, "%s is missing: nothing is known of the "
                             "image", path);
    return rc;
}

static int note(const char *path, enum identity_claim which,
                struct xlc_error *err)
{
    struct identity id;
    int rc = load(path, &id, err);

    if (rc) return rc;
    /* It has become a copy: nobody claims those. */
    if (id.role != IDENTITY_PRIMARY) return 0;
    identity_set_claim(&id, which);
    return identity_save(&diskio_real, path, &id, false, err);
}

/* A bitmap of the generation before counts for nothing from here on. */
static int outrank_file(const char *path, bool now, struct xlc_error *err)
{
    struct identity id;
    int rc = load(path, &id, err);

    if (rc) return rc;
    if (id.role != IDENTITY_PRIMARY)
        return xlc_error_set(err, -EPERM, "%s is a copy", id.image);
    if (!now) return 0;
    id.generation += BEYOND;
    if (identity_claim(&id) == IDENTITY_GIVEN)
        identity_set_claim(&id, IDENTITY_HAS_PEER);
    return identity_save(&diskio_real, path, &id, false, err);
}

/* What it means that a plugin which had just answered hung up on OUTRANK. */
static int hung_up(const char *path, int rc, struct xlc_error *err)
{
    const struct diskctl_ask ask = { .op = DISKCTL_STATUS };
    struct diskctl_status st;

    if ((rc != -EPIPE && rc != -ECONNRESET) || call(path, &ask, &st, NULL))
        return rc;
    xlc_error_clear(err);
    return xlc_error_set(err, -ENOSYS, "its nbdkit is of an older build, and "
                         "does not know how to make the image the newest");
}

/* The present generation is never a newer one, so to ask for that changes
 * nothing, and who refuses it knows the question. Who does not hangs up; on
 * the connection on which it has answered, so that it had a place for us. */
static int outrank_served(const char *path, bool now, struct xlc_error *err)
{
    struct diskctl_ask ask = { .op = DISKCTL_STATUS };
    CLEANUP_FD int sock = diskctl_connect(path, DISKCTL_ANSWER_MS, err);
    struct xlc_error why = XLC_ERROR_INIT;
    struct diskctl_status st;
    int rc = sock < 0 ? sock : diskctl_call(sock, &ask, -1, &st, err);

    if (rc) return rc;
    ask = (struct diskctl_ask){ .op = DISKCTL_OUTRANK, .a = st.generation };
    rc = diskctl_call(sock, &ask, -1, NULL, &why);
    if (rc && rc != -EINVAL) {
        rc = hung_up(path, rc, &why);
        return xlc_error_set(err, rc, "%s", why.msg);
    }
    ask.a += BEYOND;
    return now ? diskctl_call(sock, &ask, -1, NULL, err) : 0;
}

/* @now: do it, and not only find out whether it can be done. */
static int outrank(const char *path, bool now)
{
    struct xlc_error err = XLC_ERROR_INIT;
    int rc = served(path) ? outrank_served(path, now, &err)
                          : outrank_file(path, now, &err);

    if (!rc) return 0;
    said(&err);
    return rc == -ENOSYS ? UNKNOWN : 1;
}

static int claim(const char *word, const char *path)
{
    struct diskctl_ask ask = { .op = DISKCTL_CLAIM };
    struct xlc_error err = XLC_ERROR_INIT;
    int rc;

    while (ask.a < sizeof(claims) / sizeof(claims[0]) &&
           strcmp(claims[ask.a], word))
        ask.a++;
    if (ask.a == sizeof(claims) / sizeof(claims[0])) {
        fprintf(stderr, "'%s' is none of alone, paired, handed\n", word);
        return 2;
    }
    if (served(path))
        rc = call(path, &ask, NULL, &err);
    else
        rc = note(path, (enum identity_claim)ask.a, &err);
    return rc ? said(&err) : 0;
}

/* Return: octets; more than the longest answer is no answer. */
static size_t read_answer(char *to, size_t size)
{
    size_t len = 0;
    ssize_t r;

    do {
        r = read(STDIN_FILENO, to + len, size - len);
        if (r > 0) len += (size_t)r;
    } while (len < size && (r > 0 || (r < 0 && errno == EINTR)));
    return len;
}

/* What claim_parse() and claim_judge() say. Return: exit status */
static int judged(const struct xlc_error *err)
{
    said(err);
    switch (err->status) {
    case -EBUSY: return AGAIN;
    case -ESTALE: return NEWER;
    case -EAGAIN: return TOOK;
    case -EPROTO:
    case -ENOENT: return UNKNOWN;
    default: return 1;
    }
}

static int start(const char *path, const char *host)
{
    struct xlc_error err = XLC_ERROR_INIT;
    char text[CLAIM_ANSWER_MAX + 1];
    struct claim_answer theirs;
    struct identity mine;
    size_t len;
    int rc = identity_load(&diskio_real, path, &mine, &err);

    if (!rc) rc = identity_may_boot(&mine, true, &err);
    if (rc == -ENOENT) rc = xlc_error_set(&err, rc, "%s is missing", path);
    if (rc) return said(&err);
    if (identity_claim(&mine) == IDENTITY_ALONE) return 0;
    len = read_answer(text, sizeof(text));
    rc = claim_parse(&theirs, text, len, &err);
    if (rc)
        xlc_error_wrap(&err, "%s may not be the newest: %s can't be asked",
                       mine.image, host);
    else rc = claim_judge(&mine, &theirs, host, &err);
    return rc ? judged(&err) : 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--alone")) return alone(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "--claim"))
        return claim(argv[2], argv[3]);
    if (argc == 3 && !strcmp(argv[1], "--outrank"))
        return outrank(argv[2], true);
    if (argc == 3 && !strcmp(argv[1], "--may-outrank"))
        return outrank(argv[2], false);
    if (argc == 4 && !strcmp(argv[1], "--start"))
        return start(argv[2], argv[3]);
    if (argc == 2) return ask_plugin(argv[1]);
    fprintf(stderr, "usage: disk-ask SOCKET\n       disk-ask --alone DEVICE\n"
            "       disk-ask --claim alone|paired|handed SOCKET|IDENTITY\n"
            "       disk-ask --outrank SOCKET|IDENTITY\n"
            "       disk-ask --may-outrank SOCKET|IDENTITY\n"
            "       disk-ask --start IDENTITY HOST\n");
    return 2;
}
