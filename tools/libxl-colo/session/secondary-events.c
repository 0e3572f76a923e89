/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secondary-events.c - The secondary's lines in its event log
 *                      (docs/events.md): few, so it is always written */
#include <config.h>

#include "daemon.h"
#include "events.h"
#include "log.h"
#include "secondary.h"

void secondary_events_begin(struct secondary *s)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct event ev;
    char path[512];

    daemon_file(path, sizeof(path), s->rec.name, "events");
    if (events_open(path, &e)) log_warn("%s: %s", s->rec.name, e.msg);
    event_begin(&ev, "state", s->rec.name, "secondary");
    event_str(&ev, "to", sec_state_name(s->m.state));
    event_end(&ev);
}

void secondary_events_state(const struct secondary *s, enum sec_state was)
{
    struct event ev;

    event_begin(&ev, "state", s->rec.name, "secondary");
    event_str(&ev, "from", sec_state_name(was));
    event_str(&ev, "to", sec_state_name(s->m.state));
    event_end(&ev);
}

void secondary_events_failover(const struct secondary *s, uint64_t gap_ms)
{
    struct event ev;

    event_begin(&ev, "failover", s->rec.name, "secondary");
    event_uint(&ev, "epoch", s->rec.epoch);
    event_uint(&ev, "gap_us", gap_ms * 1000);
    event_end(&ev);
}

void secondary_events_end(const struct secondary *s)
{
    if (!events_on()) return;
    events_flush();
    if (events_lost())
        log_warn("%s: %u lines of the event log could not be written",
                 s->rec.name, events_lost());
    events_close();
}
