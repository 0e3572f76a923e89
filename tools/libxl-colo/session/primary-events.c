/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* primary-events.c - The primary's lines in the event log (docs/events.md) */
#include <config.h>

#include "clock.h"
#include "events.h"
#include "log.h"
#include "policy.h"
#include "primary-proxy.h"

static void begin(struct event *e, const struct primary *p, const char *kind)
{
    event_begin(e, kind, p->rec.name, "primary");
}

int primary_events_begin(struct primary *p, struct xlc_error *err)
{
    struct event e;
    int r;

    if (!p->o->events) return 0;
    r = events_open(p->o->events, err);
    if (r) return r;
    begin(&e, p, "start");
    event_str(&e, "peer", p->o->host);
    event_str(&e, "mode", policy_wish_name(p->live.wish));
    event_uint(&e, "interval_ms", p->live.interval_ms);
    event_end(&e);
    begin(&e, p, "state");
    event_str(&e, "to", prim_state_name(p->m.state));
    event_end(&e);
    return 0;
}

void primary_events_state(struct primary *p, enum prim_state was)
{
    struct event e;

    begin(&e, p, "state");
    event_str(&e, "from", prim_state_name(was));
    event_str(&e, "to", prim_state_name(p->m.state));
    event_end(&e);
}

void primary_events_checkpoint(struct primary *p)
{
    const struct capture_times *t = &p->times;
    uint64_t resumed = clock_us() - t->ack - t->transfer;
    struct event e;

    begin(&e, p, "checkpoint");
    event_uint(&e, "epoch", p->cap.epoch);
    event_str(&e, "cause", p->cause ? p->cause : "first");
    event_str(&e, "mode", policy_mode_name(primary_proxy_mode(p)));
    if (primary_proxy_flow(p)) event_str(&e, "flow", primary_proxy_flow(p));
    if (p->resumed_us && resumed > p->resumed_us + t->pause)
        event_uint(&e, "run_us", resumed - p->resumed_us - t->pause);
    event_uint(&e, "pause_us", t->pause);
    event_uint(&e, "suspend_us", t->suspend);
    event_uint(&e, "capture_us", t->capture);
    event_uint(&e, "resume_us", t->resume);
    event_uint(&e, "transfer_us", t->transfer);
    event_uint(&e, "ack_us", t->ack);
    event_uint(&e, "bytes", p->epoch_bytes);
    event_end(&e);
    p->resumed_us = resumed;
}

void primary_events_end(struct primary *p)
{
    struct event e;

    if (!events_on()) return;
    begin(&e, p, "end");
    event_str(&e, "outcome", xlc_outcome_name(p->m.outcome));
    event_str(&e, "text", xlc_outcome_text(p->m.outcome));
    event_end(&e);
    events_flush();
    if (events_lost())
        log_warn("%s: %u lines of the event log %s could not be written",
                 p->rec.name, events_lost(), p->o->events);
    events_close();
}
