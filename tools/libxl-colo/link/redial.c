/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* redial.c - A connection that broke is made again; see redial.h */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "redial.h"

/* The other end of @c, as a number. */
static void take_address(struct redial *r, const struct conn *c)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (getpeername(conn_fd(c), (struct sockaddr *)&ss, &len) ||
        getnameinfo((struct sockaddr *)&ss, len, r->addr, sizeof(r->addr),
                    NULL, 0, NI_NUMERICHOST))
        r->addr[0] = 0;
}

void redial_init(struct redial *r, const struct conn *first,
                 const struct conn_secret *secret, uint16_t port,
                 uint8_t channel, uint64_t now_ms)
{
    *r = (struct redial){ .secret = secret, .port = port,
                          .channel = channel, .incarnation = 1,
                          .backoff_ms = REDIAL_MIN_MS, .up_ms = now_ms };
    take_address(r, first);
}

static void set_why(struct redial *r, const char *why)
{
    xlc_error_clear(&r->why);
    xlc_error_set(&r->why, -ECONNRESET, "%s", why);
}

static void pause_now(struct redial *r, uint64_t now_ms)
{
    r->retry_ms = now_ms + r->backoff_ms;
    r->backoff_ms *= 2;
    if (r->backoff_ms > REDIAL_MAX_MS) r->backoff_ms = REDIAL_MAX_MS;
}

void redial_lost(struct redial *r, const char *why, uint64_t now_ms)
{
    if (r->lost) return;
    r->lost = true;
    r->losses++;
    r->tries = 0;
    if (now_ms - r->up_ms >= REDIAL_GOOD_MS) r->backoff_ms = REDIAL_MIN_MS;
    set_why(r, why);
    pause_now(r, now_ms);
}

void redial_close(struct redial *r)
{
    conn_free(steal_ptr(&r->conn));
    r->lost = false;
}

/* Once it is attached it waits for redial_take(), and poll() would tell of its
 * end again and again. */
static bool under_way(const struct redial *r)
{
    return r->conn && !conn_ready(r->conn);
}

int redial_fd(const struct redial *r)
{
    return under_way(r) ? conn_fd(r->conn) : -1;
}

short redial_events(const struct redial *r)
{
    return under_way(r) ? conn_events(r->conn) : 0;
}

/* This attempt is over. */
static void fail(struct redial *r, const char *why, uint64_t now_ms)
{
    conn_free(steal_ptr(&r->conn));
    set_why(r, why);
    pause_now(r, now_ms);
}

static void begin(struct redial *r, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int fd;

    if (!r->addr[0] || now_ms < r->retry_ms) return;
    r->tries++;
    fd = conn_dial_start(r->addr, r->port);
    if (fd < 0)
        xlc_error_set(&e, fd, "%s: %s", r->addr, strerror(-fd));
    if (fd < 0 || conn_client(&r->conn, fd, r->secret, r->channel, 0,
                              ++r->incarnation, &e)) {
        fail(r, e.msg, now_ms);
        return;
    }
    r->deadline_ms = now_ms + CONN_ATTACH_MS;
}

bool redial_turn(struct redial *r, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!r->lost) return false;
    if (!r->conn) {
        begin(r, now_ms);
        return false; /* poll() tells when it is through */
    }
    if (conn_ready(r->conn)) return true;
    if (conn_io(r->conn, &e) && !conn_ready(r->conn)) {
        fail(r, e.msg, now_ms);
        return false;
    }
    if (!conn_ready(r->conn) && now_ms >= r->deadline_ms)
        fail(r, "it was not accepted in time", now_ms);
    return r->conn && conn_ready(r->conn);
}

struct conn *redial_take(struct redial *r, uint64_t now_ms)
{
    r->lost = false;
    r->up_ms = now_ms;
    return steal_ptr(&r->conn);
}
