/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control.c - The local socket by which a running protection is asked
 *
 * Theory of operation
 * -------------------
 * The name of a socket is taken under a lock on the directory itself, so that
 * two processes can't own one guest, and no lock file is left behind: whoever
 * holds the lock asks whether somebody listens at the name; if so, the guest
 * is taken; if not, the socket is made under another name, listens, and is
 * then renamed, so that a client finds either somebody who listens, or the
 * remains of a killed process. The owner removes the name under the same lock
 * and only if it is still its own.
 *
 * A client's place goes ASKING (its line is read) -> WAITING (its question is
 * with the owner) -> ANSWERING (its answer is written) -> free. Lines that
 * make no sense skip WAITING.
 */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "control.h"
#include "json.h"

#define UUID_TEXT_LEN 36

static const char *const op_names[] = {
    [CONTROL_STATUS] = "status",     [CONTROL_CHECKPOINT] = "checkpoint",
    [CONTROL_STOP] = "stop",         [CONTROL_FAILOVER] = "failover",
    [CONTROL_SHUTDOWN] = "shutdown", [CONTROL_REBOOT] = "reboot",
    [CONTROL_WAIT] = "wait",         [CONTROL_SET] = "set",
};
static_assert(sizeof(op_names) / sizeof(op_names[0]) == CONTROL_NOPS,
              "every operation has a name");

static const char *run_dir = XLC_RUNDIR;

enum place_state {
    PLACE_FREE,
    PLACE_ASKING,
    PLACE_WAITING,
    PLACE_ANSWERING,
};

/**
 * struct place - room for a client
 * @state: see above
 * @fd: its connection; -1 if free
 * @id: counts clients; names its question
 * @line: what it said so far, @line_len octets
 * @out: its answer, of which @out_pos of @out_len octets are written
 */
struct place {
    enum place_state state;
    int fd;
    unsigned int id;
    char line[CONTROL_LINE_MAX];
    size_t line_len;
    char *out;
    size_t out_len, out_pos;
};

/**
 * struct control - a guest's socket
 * @fd: listens
 * @name: of the socket in the directory
 * @dev, @ino: of the socket's name, to know our own again
 * @ids: the newest client's number
 * @next: the next entry that control_next() looks at
 * @place: the clients
 */
struct control {
    int fd;
    char name[UUID_TEXT_LEN + sizeof(CONTROL_SUFFIX)];
    dev_t dev;
    ino_t ino;
    unsigned int ids, next;
    struct place place[CONTROL_CLIENTS];
};

const char *control_op_name(enum control_op op)
{
    return (unsigned int)op < CONTROL_NOPS ? op_names[op] : "?";
}

const char *control_dir(void)
{
    return run_dir;
}

void control_set_dir(const char *dir)
{
    run_dir = dir;
}

/* ---- The name --------------------------------------------------------- */

static int address_of(struct sockaddr_un *sa, const char *path,
                      struct xlc_error *err)
{
    size_t len = strlen(path);

    memset(sa, 0, sizeof(*sa));
    sa->sun_family = AF_UNIX;
    if (len >= sizeof(sa->sun_path))
        return xlc_error_set(err, -ENAMETOOLONG,
                             "%s is too long for a socket", path);
    memcpy(sa->sun_path, path, len);
    return 0;
}

/* A name below the directory. Return: 0, -ENAMETOOLONG */
static int path_of(char path[PATH_MAX], const char *prefix, const char *name,
                   struct xlc_error *err)
{
    int n = snprintf(path, PATH_MAX, "%s/%s%s", run_dir, prefix, name);

    if (n < 0 || n >= PATH_MAX)
        return xlc_error_set(err, -ENAMETOOLONG, "%s is too long", run_dir);
    return 0;
}

/* Make the directory ours alone, and lock it.
 * Return: a descriptor that holds the lock, or a negative errno */
static int lock_dir(struct xlc_error *err)
{
    CLEANUP_FD int fd = -1;
    struct stat st;

    if (mkdir(run_dir, 0700) < 0 && errno != EEXIST)
        return xlc_error_set(err, -errno, "can't make %s: %s", run_dir,
                             strerror(errno));
    fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return xlc_error_set(err, -errno, "can't open %s: %s", run_dir,
                             strerror(errno));
    if (st.st_uid != geteuid())
        return xlc_error_set(err, -EPERM, "%s belongs to another user",
                             run_dir);
    if (st.st_mode & 077 && fchmod(fd, 0700) < 0)
        return xlc_error_set(err, -errno, "can't close %s to others: %s",
                             run_dir, strerror(errno));
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return xlc_error_set(err, -errno, "can't lock %s: %s", run_dir,
                                 strerror(errno));
    return steal_fd(&fd);
}

/* Return: 0 if somebody listens at @sa; a negative errno if nobody does, or
 * if it can't be found out */
static int somebody_listens(const struct sockaddr_un *sa)
{
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
                               SOCK_NONBLOCK, 0);

    if (fd < 0) return -errno;
    if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0) return 0;
    return errno == EAGAIN ? 0 : -errno; /* its queue is full */
}

/* The lock is held: may the name be taken? */
static int name_is_free(const struct sockaddr_un *sa, struct xlc_error *err)
{
    int r = somebody_listens(sa);

    switch (r) {
    case -ENOENT:
    case -ECONNREFUSED: /* its owner was killed, or it is no socket */
        return 0;
    case 0:
        return xlc_error_set(err, -EBUSY, "this host has a part in "
                             "protecting the guest already, see "
                             "`xl remus-status`");
    default:
        return xlc_error_set(err, r, "can't tell who owns %s: %s",
                             sa->sun_path, strerror(-r));
    }
}

/* The lock is held. Make the socket, listen, and only then give it its name:
 * what clients find always answers. */
static int take_name(struct control *c, const char *path, const char *tmp,
                     struct xlc_error *err)
{
    struct sockaddr_un sa;
    struct stat st;
    int r;

    if ((r = address_of(&sa, path, err)) || (r = name_is_free(&sa, err)) ||
        (r = address_of(&sa, tmp, err)))
        return r;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return xlc_error_set(err, -EEXIST, "%s is in the way: not a socket",
                             path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return xlc_error_set(err, -errno, "socket: %s", strerror(errno));
    unlink(tmp); /* of somebody who was killed just here */
    if (bind(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        return xlc_error_set(err, -errno, "can't make %s: %s", tmp,
                             strerror(errno));
    if (chmod(tmp, 0600) < 0 || listen(c->fd, CONTROL_CLIENTS) < 0 ||
        lstat(tmp, &st) < 0 || rename(tmp, path) < 0) {
        r = -errno;
        unlink(tmp);
        return xlc_error_set(err, r, "can't make %s: %s", path,
                             strerror(-r));
    }
    c->dev = st.st_dev;
    c->ino = st.st_ino;
    return 0;
}

/* The uuid becomes a file name: nothing but hexadecimal digits and dashes. */
static bool uuid_is_plain(const char *uuid)
{
    return strlen(uuid) == UUID_TEXT_LEN &&
           strspn(uuid, "0123456789abcdefABCDEF-") == UUID_TEXT_LEN;
}

int control_listen(struct control **c_r, const char *uuid,
                   struct xlc_error *err)
{
    CLEANUP_FD int lock = -1;
    CLEANUP_FREE struct control *c = NULL;
    char path[PATH_MAX], tmp[PATH_MAX];
    int r;

    if (!uuid_is_plain(uuid))
        return xlc_error_set(err, -EINVAL, "not a uuid");
    c = calloc(1, sizeof(*c));
    if (!c) return xlc_error_set(err, -ENOMEM, "out of memory");
    c->fd = -1;
    for (unsigned int i = 0; i < CONTROL_CLIENTS; i++)
        c->place[i].fd = -1;
    snprintf(c->name, sizeof(c->name), "%.36s" CONTROL_SUFFIX, uuid);
    if ((r = path_of(path, "", c->name, err)) ||
        (r = path_of(tmp, ".new-", c->name, err)))
        return r;

    lock = lock_dir(err);
    if (lock < 0) return lock;
    r = take_name(c, path, tmp, err);
    if (r) {
        if (c->fd >= 0) close(c->fd);
        return r;
    }
    *c_r = steal_ptr(&c);
    return 0;
}

/* ---- The clients ------------------------------------------------------ */

static void place_free(struct place *p)
{
    if (p->fd >= 0) close(p->fd);
    free(p->out);
    *p = (struct place){ .fd = -1 };
}

/* Write what there is to write; the place is free when all was written, or
 * nobody reads it any more. */
static void place_write(struct place *p)
{
    while (p->out_pos < p->out_len) {
        ssize_t n = send(p->fd, p->out + p->out_pos, p->out_len - p->out_pos,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) break;
        p->out_pos += (size_t)n;
    }
    place_free(p);
}

static void place_answer(struct place *p, const char *json)
{
    size_t len = strlen(json);

    p->out = len <= CONTROL_ANSWER_MAX ? malloc(len + 1) : NULL;
    if (!p->out) { /* hanging up is an answer too */
        place_free(p);
        return;
    }
    memcpy(p->out, json, len);
    p->out[len] = '\n';
    p->out_len = len + 1;
    p->state = PLACE_ANSWERING;
    place_write(p);
}

static void place_answer_error(struct place *p, const struct xlc_error *err)
{
    CLEANUP_FREE char *json = NULL;
    char text[XLC_ERROR_MAX];
    struct json j;

    json_begin(&j);
    json_int(&j, "rc", -(int64_t)err->status);
    if (err->status) {
        xlc_sanitise(text, sizeof(text), err->msg,
                     (unsigned int)strnlen(err->msg, sizeof(err->msg)));
        json_str(&j, "error", text);
    }
    json = json_end(&j);
    if (json) place_answer(p, json);
    else place_free(p);
}

static void place_refuse(struct place *p, const char *why)
{
    struct xlc_error err = XLC_ERROR_INIT;

    xlc_error_set(&err, -EINVAL, "%s", why);
    place_answer_error(p, &err);
}

/* What follows the operation's name, if anything may. Return: NULL if the
 * line is not this operation */
static const char *args_of(const char *line, enum control_op op)
{
    size_t len = strlen(op_names[op]);

    if (strncmp(line, op_names[op], len)) return NULL;
    if (op == CONTROL_SET && line[len] == ' ') return line + len + 1;
    return line[len] || op == CONTROL_SET ? NULL : line + len;
}

/* A whole line. Return: true if it is a question */
static bool place_line(struct place *p, struct control_req *req_r)
{
    for (const char *c = p->line; *c; c++)
        if (*c < ' ' || *c > '~') {
            place_refuse(p, "no such operation");
            return false;
        }
    for (unsigned int op = 0; op < CONTROL_NOPS; op++) {
        const char *args = args_of(p->line, op);

        if (!args) continue;
        p->state = PLACE_WAITING;
        *req_r = (struct control_req){ .op = op, .id = p->id,
                                       .args = args };
        return true;
    }
    place_refuse(p, "no such operation");
    return false;
}

/* Return: true if a question is complete now */
static bool place_read(struct place *p, struct control_req *req_r)
{
    size_t room = sizeof(p->line) - p->line_len;
    ssize_t n = recv(p->fd, p->line + p->line_len, room, MSG_DONTWAIT);
    char *end;

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return false;
    if (n <= 0) { /* gone in the middle of a line */
        place_free(p);
        return false;
    }
    p->line_len += (size_t)n;
    end = memchr(p->line, '\n', p->line_len);
    if (!end) {
        if (p->line_len == sizeof(p->line))
            place_refuse(p, "the line is too long");
        return false;
    }
    *end = 0;
    if (strlen(p->line) != (size_t)(end - p->line)) {
        place_refuse(p, "no such operation");
        return false;
    }
    return place_line(p, req_r);
}

/* A place for a newcomer: a free one, or that of the oldest client who only
 * holds it. Return: NULL if all have questions that are worked on */
static struct place *place_find(struct control *c)
{
    struct place *best = NULL;

    for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
        struct place *p = &c->place[i];

        if (p->state == PLACE_FREE) return p;
        if (p->state == PLACE_WAITING) continue;
        if (!best || p->state < best->state ||
            (p->state == best->state && p->id < best->id))
            best = p;
    }
    if (best) place_free(best);
    return best;
}

static void take_in(struct control *c)
{
    struct place *p;
    int fd;

    while ((fd = accept4(c->fd, NULL, NULL,
                         SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        p = place_find(c);
        if (!p) { /* so many questions at once: ask again later */
            close(fd);
            continue;
        }
        if (!++c->ids) ++c->ids;
        *p = (struct place){ .state = PLACE_ASKING, .fd = fd, .id = c->ids };
    }
}

/* ---- The owner's side ------------------------------------------------- */

unsigned int control_pollfds(struct control *c, struct pollfd *pfd)
{
    static const short events[] = {
        [PLACE_ASKING] = POLLIN,
        [PLACE_WAITING] = 0, /* tells of a client that went away */
        [PLACE_ANSWERING] = POLLOUT,
    };

    c->next = 0;
    for (unsigned int i = 0; i < CONTROL_CLIENTS; i++)
        pfd[i] = (struct pollfd){ .fd = c->place[i].fd,
                                  .events = events[c->place[i].state] };
    pfd[CONTROL_CLIENTS] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
    return CONTROL_FDS;
}

bool control_next(struct control *c, const struct pollfd *pfd,
                  struct control_req *req_r)
{
    while (c->next < CONTROL_CLIENTS) {
        unsigned int i = c->next++;
        struct place *p = &c->place[i];

        if (p->fd < 0 || p->fd != pfd[i].fd || !pfd[i].revents) continue;
        if (p->state == PLACE_ASKING) {
            if (place_read(p, req_r)) return true;
        } else if (p->state == PLACE_ANSWERING) {
            place_write(p);
        } else if (pfd[i].revents & (POLLHUP | POLLERR)) {
            place_free(p);
        }
    }
    if (c->next == CONTROL_CLIENTS) {
        c->next++;
        if (pfd[CONTROL_CLIENTS].revents) take_in(c);
    }
    return false;
}

static struct place *place_of(struct control *c, unsigned int id)
{
    for (unsigned int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->place[i].state == PLACE_WAITING && c->place[i].id == id)
            return &c->place[i];
    return NULL;
}

void control_reply(struct control *c, unsigned int id, const char *json)
{
    struct place *p = place_of(c, id);

    if (p) place_answer(p, json);
}

void control_reply_error(struct control *c, unsigned int id,
                         const struct xlc_error *err)
{
    struct place *p = place_of(c, id);

    if (p) place_answer_error(p, err);
}

void control_reply_outcome(struct control *c, unsigned int id,
                           enum xlc_outcome outcome)
{
    CLEANUP_FREE char *text = NULL;
    struct json j;

    json_begin(&j);
    json_int(&j, "rc", 0);
    json_str(&j, "outcome", xlc_outcome_name(outcome));
    json_int(&j, "outcome_status", outcome);
    text = json_end(&j);
    if (text) control_reply(c, id, text);
}

bool control_waits(const struct control *c, unsigned int id)
{
    for (unsigned int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->place[i].state == PLACE_WAITING && c->place[i].id == id)
            return true;
    return false;
}

bool control_busy(const struct control *c)
{
    for (unsigned int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->place[i].state == PLACE_ANSWERING) return true;
    return false;
}

void control_forked(struct control *c)
{
    if (!c) return;
    for (unsigned int i = 0; i < CONTROL_CLIENTS; i++)
        place_free(&c->place[i]);
    if (c->fd >= 0) close(c->fd);
    free(c);
}

void control_free(struct control *c)
{
    CLEANUP_FD int lock = -1;
    char path[PATH_MAX];
    struct stat st;

    if (!c) return;
    lock = lock_dir(NULL);
    if (!path_of(path, "", c->name, NULL) && lstat(path, &st) == 0 &&
        st.st_dev == c->dev && st.st_ino == c->ino)
        unlink(path);
    control_forked(c);
}
