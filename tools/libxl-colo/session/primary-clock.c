/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-clock.c - The primary says what time it is (RULES C3)
 *
 * The guest's clock is the hypervisor's and some seconds: those of the
 * configuration, unless this host took the guest over from one whose clock
 * was another (clocknote.h).
 */
#include <config.h>

#include <time.h>

#include "clock.h"
#include "clocknote.h"
#include "log.h"
#include "primary.h"

static int32_t configured(const libxl_domain_config *cfg)
{
    int64_t s = cfg->b_info.rtc_timeoffset;
    time_t now = time(NULL);
    struct tm tm;

    /* As libxl builds a domain. */
    if (!libxl_defbool_is_default(cfg->b_info.localtime) &&
        libxl_defbool_val(cfg->b_info.localtime) && localtime_r(&now, &tm))
        s += tm.tm_gmtoff;
    return (int32_t)s;
}

void primary_clock_begin(struct primary *p)
{
    if (!clocknote_read(p->look.xsh, p->look.domid, &p->ahead_s))
        p->ahead_s = configured(&p->cfg);
}

void primary_clock_msg(const struct primary *p, struct proto_msg *m)
{
    *m = (struct proto_msg){
        .hdr.type = PROTO_CLOCK,
        .u.clock = { clock_wall_us(), p->ahead_s },
    };
}

void primary_clock_heard(struct primary *p, const struct proto_clock *c)
{
    char text[96];

    if (!paths_fresh(&p->paths, clock_ms())) return; /* old by now */
    if (wallclock_heard(&p->clock, c, clock_wall_us()) &&
        wallclock_far(&p->clock, text, sizeof(text)))
        log_warn("%s: %s", p->rec.name, text);
}
