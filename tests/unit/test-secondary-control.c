/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-secondary-control.c - What is asked of a secondary, and what it refuses
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "secondary.h"
#include "tap.h"

static struct secondary s;
static struct receive_shared shared;
static struct xlc_error answer;
static char *text;
static uint32_t live;
static unsigned int answers;

/* ---- What is not here: the rest of the secondary ------------------------ */

void control_reply(struct control *c, unsigned int id, const char *json)
{
    (void)c, (void)id;
    free(text);
    text = strdup(json);
}

void control_reply_error(struct control *c, unsigned int id,
                         const struct xlc_error *err)
{
    (void)c, (void)id;
    answer = *err;
    answers++;
}

void secondary_event(struct secondary *sec, enum sec_ev ev, uint64_t n)
{
    sec_event(&sec->m, ev, n);
}

void disks_json(struct disks *d, struct json *j)
{
    (void)d, (void)j;
}

uint32_t colo_secondary_domid(struct colo_secondary *c)
{
    (void)c;
    return 7;
}

void colo_secondary_status(struct colo_secondary *c, struct json *j)
{
    (void)c;
    json_object(j, "svm");
    json_str(j, "state", "beside");
    json_object_end(j);
}

uint32_t secondary_proxy_live(struct secondary_proxy *p)
{
    (void)p;
    return live;
}

void secondary_proxy_status(struct secondary_proxy *p, struct json *j)
{
    (void)p;
    json_uint(j, "live_flows", live);
}

/* ---- Tests -------------------------------------------------------------- */

static void begin(enum sec_state state)
{
    s = (struct secondary){ .sh = &shared, .m.state = state };
    pthread_mutex_init(&s.lock, NULL);
    s.proxy = (struct secondary_proxy *)&live;
    live = 0;
    answers = 0;
}

static void ask(enum control_op op)
{
    struct control_req req = { .op = op, .id = 1, .args = "" };

    xlc_error_clear(&answer);
    secondary_control(&s, &req);
}

static void test_stop(void)
{
    begin(SEC_OPEN);
    ask(CONTROL_STOP);
    ok(!answer.status && s.dismissed, "a receiver that is not needed goes");

    begin(SEC_OPEN);
    live = 3;
    ask(CONTROL_STOP);
    ok(answer.status == -EPERM && !s.dismissed &&
       strstr(answer.msg, "3 connections"),
       "one that connections go through says so first: %s", answer.msg);
    ask(CONTROL_STOP);
    ok(!answer.status && s.dismissed && answers == 2,
       "asked again, it goes all the same");

    begin(SEC_OPEN);
    live = 3;
    ask(CONTROL_STOP);
    s.stop_ms -= 60000;
    ask(CONTROL_STOP);
    ok(answer.status == -EPERM && !s.dismissed, "a minute later it says it "
       "again");
    live = 0;
    ask(CONTROL_STOP);
    ok(!answer.status && s.dismissed, "when they are closed, it goes");

    begin(SEC_PAIRED);
    live = 3;
    ask(CONTROL_STOP);
    ok(!answer.status && s.dismissed && sec_out(&s.m),
       "before a takeover there is nothing to break");

    begin(SEC_OPENING);
    ask(CONTROL_STOP);
    ok(answer.status == -EPERM && !s.dismissed, "a takeover goes on");
    s.dead_wait = true;
    ask(CONTROL_STOP);
    ok(!answer.status && s.dismissed, "but one that only waits for the "
       "primary can be ended");

    begin(SEC_ASIDE);
    ask(CONTROL_STOP);
    ok(answer.status == -EPERM && strstr(answer.msg, "stands aside"),
       "a copy that stands aside needs us");
}

static void test_status(void)
{
    begin(SEC_PAIRED);
    s.colo = (struct colo_secondary *)&live;
    ask(CONTROL_STATUS);
    ok(text && strstr(text, "\"mode\":\"colo\"") &&
       strstr(text, "\"svm\":{\"state\":\"beside\"}") &&
       strstr(text, "\"domid\":7"), "the status of a copy that runs beside");
    begin(SEC_OPEN);
    shared.domid = 9;
    live = 3;
    ask(CONTROL_STATUS);
    /* What `xl remus` looks for before it protects the guest anew. */
    ok(strstr(text, "\"svm\":{\"domid\":9,\"live_flows\":3}") &&
       strstr(text, "\"state\":\"running\""),
       "rule_B4: of one that goes on for another that died");
    shared.domid = 0;
    begin(SEC_PAIRED);
    s.proxy = NULL;
    ask(CONTROL_STATUS);
    ok(strstr(text, "\"mode\":\"remus\"") != NULL,
       "and of one whose packets nobody compares");
    free(text);
}

int main(void)
{
    test_stop();
    test_status();
    return done_testing();
}
