/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-events.c - The event log, written and read again
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "events.h"
#include "log.h"
#include "report-line.h"
#include "secondary.h"
#include "tap.h"

static char dir[] = "/tmp/test-events.XXXXXX";
static char path[sizeof(dir) + 16];

/* The log of the secondary called g1. */
void daemon_file(char *file, size_t size, const char *name,
                 const char *suffix)
{
    if (strcmp(name, "g1") || strcmp(suffix, "events")) abort();
    snprintf(file, size, "%s", path);
}

/* Return: octets in the log, the last line in @line without its end */
static size_t last_line(char *line, size_t size)
{
    char buf[8192];
    int fd;
    ssize_t n;
    char *at;

    events_flush();
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

    if (fd >= 0) close(fd);
    line[0] = 0;
    if (n <= 0) return 0;
    buf[n] = 0;
    if (buf[n - 1] == '\n') buf[n - 1] = 0;
    at = strrchr(buf, '\n');
    at = at ? at + 1 : buf;
    if (strlen(at) < size) memcpy(line, at, strlen(at) + 1);
    return (size_t)n;
}

static void say(const char *domain, const char *text)
{
    struct event e;

    event_begin(&e, "note", domain, "primary");
    event_str(&e, "text", text);
    event_end(&e);
}

static void without_a_log(void)
{
    struct event e;

    ok(!events_on(), "there is no log");
    say("web", "nobody hears this");
    event_begin(&e, "note", "web", "primary");
    ok(!e.len && !events_lost(), "nothing is done, nothing is lost");
}

static void a_line(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct report_event ev;
    char line[EVENT_LINE_MAX];
    struct event e;
    struct stat st;

    ok(!events_open(path, &err) && events_on(), "opened %s", err.msg);
    ok(!stat(path, &st) && (st.st_mode & 0777) == 0600, "for root alone");
    event_begin(&e, "checkpoint", "w\"e\\b", "primary");
    event_uint(&e, "epoch", 7);
    event_str(&e, "cause", "in\nter\x01val\xff");
    event_uint(&e, "pause_us", 4210);
    event_uint(&e, "bytes", UINT64_MAX);
    event_end(&e);
    last_line(line, sizeof(line));
    ok(report_line(&ev, line, strlen(line), &err) == -EINVAL &&
       strstr(err.msg, "\"bytes\" is 9223372036854775807"),
       "numbers end where JSON's readers do: %s", err.msg);
    event_begin(&e, "checkpoint", "w\"e\\b", "primary");
    event_uint(&e, "epoch", 7);
    event_str(&e, "cause", "in\nter\x01val\xff");
    event_uint(&e, "pause_us", 4210);
    event_end(&e);
    last_line(line, sizeof(line));
    xlc_error_clear(&err);
    ok(!report_line(&ev, line, strlen(line), &err), "it is read: %s",
       err.msg);
    ok(ev.kind == REPORT_CHECKPOINT && ev.epoch == 7 && ev.pause_us == 4210 &&
       !strcmp(ev.domain, "w\"e\\b") && !strcmp(ev.role, "primary") &&
       !strcmp(ev.cause, "in?ter?val?"), "and says the same");
    ok(ev.time_us > 1700000000000000u, "with the time of the wall clock");
}

static void too_long(void)
{
    char line[EVENT_LINE_MAX], text[2000];
    size_t before = last_line(line, sizeof(line)), fits = 0;

    for (size_t n = 700; n < 1100; n++) {
        size_t now;

        memset(text, 'x', n);
        text[n] = 0;
        say("web", text);
        now = last_line(line, sizeof(line));
        if (now == before) break;
        fits = n;
        if (truncate(path, 0)) break;
        before = 0;
    }
    ok(fits > 800 && fits < 1000 && events_lost() == 1,
       "a line that is too long is lost and counted (%zu fit)", fits);
    say("web", "short");
    last_line(line, sizeof(line));
    ok(strstr(line, "\"text\":\"short\"}"), "the next one is there");
}

static void full_disk(void)
{
    struct rlimit was, now;
    char line[EVENT_LINE_MAX];
    size_t size = last_line(line, sizeof(line));
    unsigned int lost = events_lost();

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    now = was;
    now.rlim_cur = size;
    setrlimit(RLIMIT_FSIZE, &now);
    errno = EDOM;
    say("web", "no room");
    ok(errno == EDOM, "errno stays as it was");
    events_flush();
    setrlimit(RLIMIT_FSIZE, &was);
    ok(events_lost() == lost + 1 && last_line(line, sizeof(line)) == size,
       "a full disk costs the line, and says so");
    events_close();
    ok(!events_on(), "closed");
}

static void no_file(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    char fifo[sizeof(path) + 8];

    ok(events_open("/nowhere/log", &err) == -ENOENT &&
       strstr(err.msg, "/nowhere/log"), "%s", err.msg);
    xlc_error_clear(&err);
    snprintf(fifo, sizeof(fifo), "%s.fifo", path);
    ok(!mkfifo(fifo, 0600) && events_open(fifo, &err) < 0 && !events_on(),
       "a pipe that nobody reads: %s", err.msg);
    unlink(fifo);
    xlc_error_clear(&err);
    ok(events_open("/dev/null", &err) == -EINVAL &&
       strstr(err.msg, "is no file"), "%s", err.msg);
}

/* Is a line of the process's own log about it? */
static bool warned(const char *file, const char *what)
{
    char buf[4096] = "";
    FILE *f = fopen(file, "re");

    if (f && !fread(buf, 1, sizeof(buf) - 1, f)) buf[0] = 0;
    if (f) fclose(f);
    return strstr(buf, what);
}

/* Its process ends right after its last line. */
static void of_a_secondary(void)
{
    static struct secondary s = { .rec.name = "g1", .m.state = SEC_SYNCING };
    char line[EVENT_LINE_MAX], log[sizeof(path) + 8];
    struct rlimit was, now;

    snprintf(log, sizeof(log), "%s.log", path);
    if (log_init("receive", log, LOG_LEVEL_INFO)) abort();
    unlink(path);
    secondary_events_begin(&s);
    s.m.state = SEC_OPEN;
    secondary_events_state(&s, SEC_OPENING);
    secondary_events_end(&s);
    last_line(line, sizeof(line)); /* there is no log to flush any more */
    ok(!events_on() && strstr(line, "\"to\":\"running\"}") &&
       !warned(log, "event log"), "a secondary's last line is there");

    getrlimit(RLIMIT_FSIZE, &was);
    now = was;
    secondary_events_begin(&s);
    now.rlim_cur = last_line(line, sizeof(line));
    setrlimit(RLIMIT_FSIZE, &now);
    secondary_events_state(&s, SEC_OPEN);
    secondary_events_end(&s);
    setrlimit(RLIMIT_FSIZE, &was);
    ok(!events_on() && warned(log, "warning: g1: 1 lines of the event log"),
       "what is lost is said");
    secondary_events_end(&s);
    ok(!events_on(), "the end comes once");
    unlink(log);
}

int main(void)
{
    if (!mkdtemp(dir)) {
        perror("mkdtemp");
        return 99;
    }
    snprintf(path, sizeof(path), "%s/log", dir);
    without_a_log();
    a_line();
    too_long();
    full_disk();
    no_file();
    of_a_secondary();
    unlink(path);
    rmdir(dir);
    return done_testing();
}
