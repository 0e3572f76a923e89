/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-watch.c - xl remus-status --watch
 *
 * Theory of operation
 * -------------------
 * Every so often all sockets are asked for their status, as for one look. A
 * second question, "wait", stays open at each primary; its answer says how
 * protection ended, and its hanging up that nobody is left to say so. On a
 * terminal the alternate screen shows the newest sample and is left again at
 * the end, whatever that is; otherwise each sample is a line. Signals come in
 * through a descriptor, so that nothing is cut short by one.
 */
#include <config.h>

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "control.h"
#include "status.h"
#include "watch.h"
#include "xl.h"
#include "xlcolo.h"

#define WATCHED_MAX 64
#define ASK_MS      3000

/**
 * struct watched - a domain that is looked at
 * @w: what it said so far
 * @uuid, @name: whose; @path: of its socket
 * @wait: the open question; -1 if there is none; @asked: one was tried
 * @here: it was in this sample
 * @outcome: how its protection ended, or -1
 */
struct watched {
    struct watch w;
    char uuid[STATUS_UUID_LEN + 1], name[128];
    char *path;
    int wait;
    bool asked, here;
    int outcome;
};

/**
 * struct viewer - the whole
 * @what: one domain, as it was named; NULL for all
 * @json, @interval_ms: of the command line
 * @screen: on a terminal; @utf8: which knows block characters
 * @looked: this is not the first look
 * @signals: of signalfd()
 * @v: @n domains
 * @ended: lines that say how some ended
 * @status: to exit with
 */
struct viewer {
    const char *what;
    bool json, screen, utf8, looked;
    uint32_t interval_ms;
    int signals;
    struct watched v[WATCHED_MAX];
    unsigned int n;
    struct { char *text; size_t size; FILE *out; } ended;
    int status;
};

/* ---- The end of one --------------------------------------------------- */

static void drop(struct viewer *v, struct watched *d)
{
    if (d->wait >= 0) close(d->wait);
    free(d->path);
    *d = v->v[--v->n];
}

/* The open question is answered, or its owner hung up. */
static void hear(struct watched *d)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct status answer = { .path = d->path };
    char *json = NULL;
    long long n;

    if (!control_ask_end(d->wait, d->path, ASK_MS, &json, &err)) {
        status_parse(&answer, json); /* is no status, but has its frame */
        if (status_number(&answer, "outcome_status", &n) && n >= 0 &&
            n <= XLC_WORKER_DIED)
            d->outcome = (int)n;
        free(answer.json);
        yajl_tree_free(answer.tree);
    }
    close(d->wait);
    d->wait = -1;
}

/* Say how it ended. @s: its last word, NULL if it is gone. */
static void say_end(struct viewer *v, const struct watched *d,
                    const struct status *s)
{
    char state[48];
    const char *text = s ? status_text(s, "state") : "";

    xlc_sanitise(state, sizeof(state), text, (unsigned int)strlen(text));
    if (d->outcome >= 0)
        fprintf(v->ended.out, "%s: %s: %s\n", d->name,
                xlc_outcome_name((enum xlc_outcome)d->outcome),
                xlc_outcome_text((enum xlc_outcome)d->outcome));
    else if (s && !s->err.status)
        fprintf(v->ended.out, "%s: it is not protected any more: %s\n",
                d->name, state);
    else if (s)
        fprintf(v->ended.out, "%s: nobody answers any more: %s\n", d->name,
                s->err.msg);
    else
        fprintf(v->ended.out, "%s: what protected it is gone, and did not "
                "say why\n", d->name);
    v->status = d->outcome >= 0 ? d->outcome : 1;
}

/* ---- A sample --------------------------------------------------------- */

static struct watched *find(struct viewer *v, const struct status *s)
{
    struct watched *d;
    const char *name = status_text(s, "domain");

    for (d = v->v; d < v->v + v->n; d++)
        if (!strcmp(d->uuid, s->uuid)) return d;
    if (v->n == WATCHED_MAX || s->err.status) return NULL;
    *d = (struct watched){ .wait = -1, .outcome = -1,
                           .path = strdup(s->path) };
    if (!d->path) return NULL;
    memcpy(d->uuid, s->uuid, sizeof(d->uuid));
    xlc_sanitise(d->name, sizeof(d->name), name, (unsigned int)strlen(name));
    v->n++;
    return d;
}

static void show(struct viewer *v, FILE *out, struct watched *d,
                 const struct status *s, unsigned int width)
{
    struct timespec now;
    char when[32];
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S%z", &tm);
    watch_sample(&d->w, s, clock_ms());
    if (v->json) fprintf(out, "%s\n", s->json);
    else if (!v->screen) watch_line(out, &d->w, s, when);
    else watch_text(out, &d->w, s, when, width, v->utf8);
    if (v->screen) fputc('\n', out);
}

/* One entry of a sample: still protected, or over. */
static void look_at(struct viewer *v, FILE *out, const struct status *s,
                    unsigned int width)
{
    struct watched *d = find(v, s);

    if (!d) return;
    d->here = true;
    if (s->err.status == -ETIMEDOUT) return; /* look again */
    if (!s->err.status) show(v, out, d, s, width);
    if (s->err.status || status_is_over(s) || d->outcome >= 0) {
        /* The worker says so before it is gone, if it can. */
        if (d->wait >= 0) hear(d);
        say_end(v, d, s);
        drop(v, d);
    } else if (status_is_primary(s) && !d->asked) {
        d->asked = true;
        d->wait = control_ask_begin(d->path, CONTROL_WAIT, NULL, ASK_MS,
                                    NULL);
    }
}

/* Those that were here and are not any more. */
static void look_for_missing(struct viewer *v)
{
    for (unsigned int i = 0; i < v->n;) {
        struct watched *d = &v->v[i];

        if (d->here) {
            i++;
            continue;
        }
        if (d->wait >= 0) hear(d);
        say_end(v, d, NULL);
        drop(v, d);
    }
}

/* Ask all, and write what is to be shown. Return: 0 or a negative errno */
static int sample(struct viewer *v, FILE *out, unsigned int width,
                  struct xlc_error *err)
{
    struct statuses s = { NULL, 0 };
    const struct status *only = NULL;
    int r = statuses_get(&s, err);

    if (!v->looked && !v->what) statuses_complain(v->ended.out, &s);
    if (!r && !v->looked && !v->what && !s.n)
        fputs("nothing is protected on this host\n", v->ended.out);
    if (!r && !v->looked && v->what) {
        only = statuses_find(&s, v->what, err);
        r = err->status;
        if (only && only->err.status)
            r = xlc_error_set(err, only->err.status, "%s", only->err.msg);
    }
    for (unsigned int i = 0; i < v->n; i++)
        v->v[i].here = false;
    for (unsigned int i = 0; !r && i < s.n; i++) {
        /* The name may come to mean another one; the uuid does not. */
        bool mine = !v->what || only == &s.v[i] ||
                    (!only && !strcmp(v->v[0].uuid, s.v[i].uuid));

        if (mine) look_at(v, out, &s.v[i], width);
        if (mine && v->what) break;
    }
    if (!r) look_for_missing(v);
    v->looked = true;
    statuses_free(&s);
    return r;
}

/* ---- The screen ------------------------------------------------------- */

static struct winsize window(void)
{
    struct winsize ws;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || !ws.ws_col ||
        !ws.ws_row)
        ws = (struct winsize){ .ws_col = 80, .ws_row = 24 };
    return ws;
}

static void leave_screen(struct viewer *v, const char *last)
{
    if (!v->screen) return;
    v->screen = false;
    fputs("\033[?25h\033[?1049l", stdout);
    if (last) fputs(last, stdout); /* what was seen last stays readable */
}

/* Sample, draw, and say who ended. Return: 0 or a negative errno */
static int turn(struct viewer *v, char **last, struct xlc_error *err)
{
    struct winsize ws = window();
    CLEANUP_FREE char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int r;

    if (!out) return xlc_error_set(err, -ENOMEM, "out of memory");
    r = sample(v, out, ws.ws_col, err);
    fclose(out);
    if (r) return r;
    fflush(v->ended.out);
    if (v->screen) {
        watch_frame(stdout, text, ws.ws_col, ws.ws_row);
        free(*last);
        *last = steal_ptr(&text);
    } else {
        fputs(text, stdout);
    }
    if (fflush(stdout))
        return xlc_error_set(err, -EIO, "standard output: %s",
                             strerror(errno));
    return 0;
}

/* Until the next sample is due, a signal comes, or a protection ends.
 * Return: false if a signal ends it */
static bool rest(struct viewer *v, uint64_t until_ms)
{
    struct pollfd pfd[WATCHED_MAX + 1];
    struct signalfd_siginfo si;
    uint64_t now;

    while ((now = clock_ms()) < until_ms) {
        unsigned int n = v->n;

        for (unsigned int i = 0; i < n; i++)
            pfd[i] = (struct pollfd){ v->v[i].wait, POLLIN, 0 };
        pfd[n] = (struct pollfd){ v->signals, POLLIN, 0 };
        if (poll(pfd, n + 1, (int)(until_ms - now)) <= 0) continue;
        if (pfd[n].revents) {
            if (read(v->signals, &si, sizeof(si)) != sizeof(si)) continue;
            return si.ssi_signo == SIGWINCH;
        }
        for (unsigned int i = 0; i < n; i++)
            if (pfd[i].revents) hear(&v->v[i]);
        return true; /* the next sample tells the rest */
    }
    return true;
}

static void run(struct viewer *v, struct xlc_error *err)
{
    CLEANUP_FREE char *last = NULL;

    for (;;) {
        if (turn(v, &last, err)) v->status = 1;
        if (err->status || !v->n) break;
        if (!rest(v, clock_ms() + v->interval_ms)) {
            v->status = 0;
            break;
        }
    }
    leave_screen(v, last);
}

/* ---- The command ------------------------------------------------------ */

static int set_up(struct viewer *v, sigset_t *was, struct xlc_error *err)
{
    static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };
    const char *term = getenv("TERM");
    sigset_t set;

    v->ended.out = open_memstream(&v->ended.text, &v->ended.size);
    if (!v->ended.out) return xlc_error_set(err, -ENOMEM, "out of memory");
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
        sigaddset(&set, sigs[i]);
    sigprocmask(SIG_BLOCK, &set, was);
    v->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (v->signals < 0)
        return xlc_error_set(err, -errno, "signalfd: %s", strerror(errno));
    setlocale(LC_CTYPE, "");
    v->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    setlocale(LC_CTYPE, "C");
    v->screen = !v->json && isatty(STDOUT_FILENO) && term &&
                strcmp(term, "dumb");
    if (v->screen) fputs("\033[?1049h\033[?25l", stdout);
    return 0;
}

int watch_status(const char *what, bool json, uint32_t interval_ms)
{
    CLEANUP_FREE struct viewer *v = calloc(1, sizeof(*v));
    struct xlc_error err = XLC_ERROR_INIT;
    sigset_t was;

    if (!v) return 1;
    v->what = what;
    v->json = json;
    v->interval_ms = interval_ms;
    v->signals = -1;
    sigprocmask(SIG_BLOCK, NULL, &was);
    if (set_up(v, &was, &err)) v->status = 1;
    else run(v, &err);
    if (err.status) xl_say("remus-status", "%s", err.msg);
    if (v->ended.out) fclose(v->ended.out);
    if (v->ended.text) fputs(v->ended.text, json ? stderr : stdout);
    while (v->n)
        drop(v, &v->v[0]);
    free(v->ended.text);
    if (v->signals >= 0) close(v->signals);
    sigprocmask(SIG_SETMASK, &was, NULL);
    if (fflush(stdout)) return 1;
    return what ? v->status : err.status != 0;
}
