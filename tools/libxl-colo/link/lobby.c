/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lobby.c - Where connections wait until they have shown who they are */
#include <config.h>

#include <errno.h>

#include "cleanup.h"
#include "lobby.h"

/* A free place, or else that of the one who has waited longest. */
static unsigned int choose(const struct lobby *l)
{
    unsigned int oldest = 0;

    for (unsigned int i = 0; i < LOBBY_MAX; i++) {
        if (!l->conn[i]) return i;
        if (l->since_ms[i] < l->since_ms[oldest]) oldest = i;
    }
    return oldest;
}

int lobby_enter(struct lobby *l, int fd, const struct conn_secret *s,
                uint64_t now_ms, struct xlc_error *err)
{
    unsigned int i = choose(l);
    int r;

    if (l->conn[i]) l->evicted++;
    lobby_drop(l, i);
    r = conn_server(&l->conn[i], fd, s, err);
    if (r) {
        l->conn[i] = NULL;
        return r;
    }
    l->since_ms[i] = now_ms;
    return (int)i;
}

bool lobby_turn(struct lobby *l, unsigned int i, short revents,
                uint64_t now_ms, struct xlc_error *err)
{
    int r = 0;

    if (!l->conn[i]) return false;
    if (revents) r = conn_io(l->conn[i], err);
    if (!r && conn_wants_attached(l->conn[i])) return true;
    if (!r && now_ms >= l->since_ms[i] + CONN_ATTACH_MS)
        r = xlc_error_set(err, -ETIMEDOUT, "it did not attach in time");
    if (r) lobby_drop(l, i);
    return false;
}

struct conn *lobby_take(struct lobby *l, unsigned int i)
{
    return steal_ptr(&l->conn[i]);
}

void lobby_drop(struct lobby *l, unsigned int i)
{
    conn_free(steal_ptr(&l->conn[i]));
}

void lobby_clear(struct lobby *l)
{
    for (unsigned int i = 0; i < LOBBY_MAX; i++)
        lobby_drop(l, i);
}
