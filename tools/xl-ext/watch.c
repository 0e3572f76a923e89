/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* watch.c - How a protection looks from sample to sample */
#include <config.h>

#include <string.h>

#include "watch.h"

#define TEXT_MAX  512
#define LABEL     11 /* columns */

/* ---- Samples ---------------------------------------------------------- */

static void add_pause(struct watch *w, uint32_t us)
{
    if (w->n == WATCH_HISTORY) {
        memmove(w->pause_us, w->pause_us + 1,
                (WATCH_HISTORY - 1) * sizeof(w->pause_us[0]));
        w->n--;
    }
    w->pause_us[w->n++] = us;
}

/* From @was to @is in @ms: how much is that in @unit_ms? */
static long long rate(long long was, long long is, uint64_t ms,
                      long long unit_ms)
{
    long long r;

    if (__builtin_sub_overflow(is, was, &r) ||
        __builtin_mul_overflow(r, unit_ms, &r))
        return 0;
    return r / (long long)ms;
}

void watch_sample(struct watch *w, const struct status *s, uint64_t now_ms)
{
    long long checkpoints, bytes, pause;
    uint64_t ms = now_ms - w->at_ms;

    status_number(s, "checkpoints_total", &checkpoints);
    status_number(s, "bytes_total", &bytes);
    if (w->sampled && (checkpoints < w->checkpoints || bytes < w->bytes))
        *w = (struct watch){ .sampled = false }; /* another process's */
    if (status_number(s, "pause_us", &pause) && pause >= 0 &&
        pause <= UINT32_MAX && checkpoints != w->newest)
        add_pause(w, (uint32_t)pause);
    w->newest = checkpoints;
    if (w->sampled && ms < WATCH_RATE_MS) return;
    if (w->sampled) {
        w->rated = true;
        w->checkpoints_100s = rate(w->checkpoints, checkpoints, ms,
                                   100000);
        w->bytes_s = rate(w->bytes, bytes, ms, 1000);
    }
    w->sampled = true;
    w->at_ms = now_ms;
    w->checkpoints = checkpoints;
    w->bytes = bytes;
}

/* ---- Pieces ----------------------------------------------------------- */

static const char *text_of(char text[TEXT_MAX], const struct status *s,
                           const char *key)
{
    const char *v = status_text(s, key);

    xlc_sanitise(text, TEXT_MAX, v, (unsigned int)strnlen(v, TEXT_MAX));
    return *text ? text : "-";
}

static const char *bytes_of(char text[32], long long v)
{
    status_bytes(text, 32, v);
    return text;
}

/* "12.3" of 12345 us. */
static const char *ms_of(char text[32], long long us)
{
    snprintf(text, 32, "%lld.%lld", us / 1000, us < 0 ? 0 : us % 1000 / 100);
    return text;
}

/* "4.97" of 497 in 100 s. */
static const char *per_second(char text[32], long long n)
{
    snprintf(text, 32, "%lld.%02lld", n / 100, n % 100);
    return text;
}

/* The beginning of a line. */
static void label(FILE *out, const char *name)
{
    fprintf(out, "%-*s ", LABEL, name);
}

/* "syncing 42%" */
static void state(FILE *out, const struct status *s)
{
    char text[TEXT_MAX];
    long long percent;

    text_of(text, s, "state");
    fputs(text, out);
    if (!strcmp(text, "syncing") &&
        status_number(s, "sync_percent", &percent))
        fprintf(out, " %lld%%", percent);
}

/* ---- One line --------------------------------------------------------- */

void watch_line(FILE *out, const struct watch *w, const struct status *s,
                const char *when)
{
    char text[TEXT_MAX], a[32];
    long long v, bytes;

    fprintf(out, "%s %s ", when, text_of(text, s, "domain"));
    fprintf(out, "%s ", text_of(text, s, "role"));
    state(out, s);
    if (status_number(s, status_is_primary(s) ? "epoch_committed" :
                      "epoch_accepted", &v))
        fprintf(out, " epoch %lld", v);
    if (status_number(s, "pause_us", &v))
        fprintf(out, " pause %s ms", ms_of(a, v));
    if (status_number(s, "pages", &v) && status_number(s, "bytes", &bytes))
        fprintf(out, " %lld pages %s", v, bytes_of(a, bytes));
    if (w->rated) {
        fprintf(out, " %s/s", per_second(a, w->checkpoints_100s));
        fprintf(out, " %s/s", bytes_of(a, w->bytes_s));
    }
    if (status_number(s, "held_packets", &v) &&
        status_number(s, "held_bytes", &bytes))
        fprintf(out, " held %lld %s", v, bytes_of(a, bytes));
    fputc('\n', out);
}

/* ---- Many ------------------------------------------------------------- */

static void put_peer(FILE *out, const struct status *s)
{
    const char *path[] = { "paths", NULL }, *key[] = { "connected", NULL };
    yajl_val v = yajl_tree_get(s->tree, path, yajl_t_array);
    size_t n = v ? YAJL_GET_ARRAY(v)->len : 0, up = 0;
    char text[TEXT_MAX];
    long long ms;

    label(out, "peer");
    fputs(text_of(text, s, "peer"), out);
    if (status_number(s, "silence_ms", &ms))
        fprintf(out, ", heard %lld ms ago", ms);
    for (size_t i = 0; i < n; i++)
        up += YAJL_IS_TRUE(yajl_tree_get(YAJL_GET_ARRAY(v)->values[i], key,
                                         yajl_t_any)) != 0;
    if (n) fprintf(out, ", %zu of %zu paths", up, n);
    if (*status_text(s, "link"))
        fprintf(out, ", %s", text_of(text, s, "link"));
    fputc('\n', out);
}

static void put_epoch(FILE *out, const struct status *s)
{
    static const struct {
        const char *key, *what;
    } t[] = {
        { "epoch_cut", "made" },
        { "epoch_accepted", "on the copy's host" },
        { "epoch_applied", "in the copy" },
        { "epoch_committed", "released" },
    };
    const char *sep = "";
    long long v;

    label(out, "epoch");
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (!status_number(s, t[i].key, &v)) continue;
        if (!v && i == 0) continue; /* a secondary makes none */
        fprintf(out, "%s%lld %s", sep, v, t[i].what);
        sep = ", ";
    }
    fputs(*sep ? "\n" : "-\n", out);
}

/* The pauses as a curve, newest at the right; the highest is the top. */
static void put_curve(FILE *out, const struct watch *w, unsigned int width,
                      bool utf8)
{
    static const char *const blocks[] = {
        "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586",
        "\u2587", "\u2588",
    };
    static const char ascii[] = "_.,-~=+#";
    unsigned int room = width > LABEL + 2 ? width - LABEL - 2 : 1;
    unsigned int from = w->n > room ? w->n - room : 0;
    uint32_t top = 1;
    char a[32];

    if (w->n - from < 2) return;
    for (unsigned int i = from; i < w->n; i++)
        if (w->pause_us[i] > top) top = w->pause_us[i];
    label(out, "");
    for (unsigned int i = from; i < w->n; i++) {
        unsigned int level = (unsigned int)((uint64_t)w->pause_us[i] * 7 /
                                            top);

        if (utf8) fputs(blocks[level], out);
        else fputc(ascii[level], out);
    }
    fputc('\n', out);
    label(out, "");
    fprintf(out, "the last %u that were seen, at most %s ms\n", w->n - from,
            ms_of(a, top));
}

static void put_pause(FILE *out, const struct watch *w,
                      const struct status *s, unsigned int width, bool utf8)
{
    long long pause, suspend, capture, resume, v;
    char a[32], b[32], c[32], d[32];

    if (status_number(s, "apply_us", &v)) {
        label(out, "apply");
        fprintf(out, "%s ms\n", ms_of(a, v));
    }
    if (!status_number(s, "pause_us", &pause)) return;
    status_number(s, "suspend_us", &suspend);
    status_number(s, "capture_us", &capture);
    status_number(s, "resume_us", &resume);
    label(out, "pause");
    fprintf(out, "%s ms (suspend %s, capture %s, resume %s)\n",
            ms_of(a, pause), ms_of(b, suspend), ms_of(c, capture),
            ms_of(d, resume));
    put_curve(out, w, width, utf8);
}

static void put_size(FILE *out, const struct watch *w,
                     const struct status *s)
{
    long long pages, bytes, transfer, ack;
    char a[32], b[32];

    if (status_number(s, "pages", &pages) &&
        status_number(s, "bytes", &bytes)) {
        label(out, "size");
        fprintf(out, "%lld pages, %s", pages, bytes_of(a, bytes));
        if (status_number(s, "transfer_us", &transfer) &&
            status_number(s, "ack_us", &ack))
            fprintf(out, "; transfer %s ms, answer %s ms",
                    ms_of(a, transfer), ms_of(b, ack));
        fputc('\n', out);
    }
    if (!w->rated) return;
    label(out, "rate");
    fprintf(out, "%s checkpoints/s, %s/s\n",
            per_second(a, w->checkpoints_100s), bytes_of(b, w->bytes_s));
}

static void put_held(FILE *out, const struct status *s)
{
    long long packets, bytes, drops;
    char a[32];

    if (!status_number(s, "held_packets", &packets) ||
        !status_number(s, "held_bytes", &bytes))
        return;
    label(out, "held");
    fprintf(out, "%lld packets, %s", packets, bytes_of(a, bytes));
    if (status_number(s, "drops_packets", &drops))
        fprintf(out, "; %lld dropped", drops);
    fputc('\n', out);
}

/* One of "disks": its words, then its numbers, under their own names. */
static void put_disk(FILE *out, yajl_val disk)
{
    char text[TEXT_MAX];

    label(out, "disk");
    for (int numbers = 0; numbers < 2; numbers++)
        for (size_t i = 0; i < YAJL_GET_OBJECT(disk)->len; i++) {
            const char *key = YAJL_GET_OBJECT(disk)->keys[i];
            yajl_val v = YAJL_GET_OBJECT(disk)->values[i];

            if (!numbers && YAJL_IS_STRING(v)) {
                const char *word = YAJL_GET_STRING(v);

                xlc_sanitise(text, sizeof(text), word,
                             (unsigned int)strnlen(word, sizeof(text)));
                fprintf(out, "%s ", text);
            } else if (numbers && YAJL_IS_INTEGER(v)) {
                xlc_sanitise(text, sizeof(text), key,
                             (unsigned int)strnlen(key, sizeof(text)));
                fprintf(out, "%s %lld ", text,
                        (long long)YAJL_GET_INTEGER(v));
            }
        }
    fputc('\n', out);
}

static void put_disks(FILE *out, const struct status *s)
{
    const char *path[] = { "disks", NULL };
    yajl_val v = yajl_tree_get(s->tree, path, yajl_t_array);
    char text[TEXT_MAX];

    for (size_t i = 0; v && i < YAJL_GET_ARRAY(v)->len; i++)
        if (YAJL_IS_OBJECT(YAJL_GET_ARRAY(v)->values[i]))
            put_disk(out, YAJL_GET_ARRAY(v)->values[i]);
    if (v && YAJL_GET_ARRAY(v)->len) return;
    if (*status_text(s, "disk")) {
        label(out, "disk");
        fprintf(out, "%s\n", text_of(text, s, "disk"));
    }
}

static void put_warnings(FILE *out, const struct status *s)
{
    const char *path[] = { "warnings", NULL };
    yajl_val v = yajl_tree_get(s->tree, path, yajl_t_array);
    char text[TEXT_MAX];

    for (size_t i = 0; v && i < YAJL_GET_ARRAY(v)->len; i++) {
        const char *w = YAJL_GET_STRING(YAJL_GET_ARRAY(v)->values[i]);

        if (!w) continue;
        xlc_sanitise(text, sizeof(text), w,
                     (unsigned int)strnlen(w, sizeof(text)));
        label(out, "warning");
        fprintf(out, "%s\n", text);
    }
}

void watch_text(FILE *out, const struct watch *w, const struct status *s,
                const char *when, unsigned int width, bool utf8)
{
    char text[TEXT_MAX];
    long long ms;

    fprintf(out, "%s: ", text_of(text, s, "domain"));
    fprintf(out, "%s, ", text_of(text, s, "role"));
    state(out, s);
    fprintf(out, "  %s\n", when);
    put_peer(out, s);
    label(out, "mode");
    fputs(text_of(text, s, "mode"), out);
    if (status_number(s, "interval_ms", &ms))
        fprintf(out, ", a checkpoint every %lld ms", ms);
    fputc('\n', out);
    put_epoch(out, s);
    put_pause(out, w, s, width, utf8);
    put_size(out, w, s);
    put_held(out, s);
    put_disks(out, s);
    put_warnings(out, s);
}

/* ---- A terminal ------------------------------------------------------- */

void watch_frame(FILE *out, const char *text, unsigned int width,
                 unsigned int height)
{
    fputs("\033[H", out);
    for (unsigned int row = 0; *text && row < height; row++) {
        unsigned int col = 0;

        if (row) fputs("\r\n", out);
        for (; *text && *text != '\n'; text++) {
            col += (*text & 0xc0) != 0x80; /* the first of its character */
            if (col <= width) fputc(*text, out);
        }
        if (col < width) fputs("\033[K", out);
        text += *text == '\n';
    }
    fputs("\033[J", out);
}
