/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * report-svg.c - An event log as a picture: a timeline in SVG
 *
 * Self-contained: no script, no font, no file besides it. Colours follow the
 * viewer's light or dark scheme. What comes from the log is escaped.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "report.h"

#define LEFT    110
#define WIDTH   (LEFT + REPORT_COLUMNS + 90)
#define TOP     64
#define BAND_H  20
#define CHART_H 70
#define GAP     16
#define LIST_MAX 24 /* marks that are written out */

/**
 * struct draw - the picture while it is drawn
 * @y: the next lane begins here
 */
struct draw {
    FILE *out;
    const struct report *r;
    unsigned int y;
};

/* Light; then dark for viewers that know which is wanted. Plain rules: not
 * every viewer has variables. */
static const char style[] =
    "<style>\n"
    "text{font:12px sans-serif}.h{font:bold 16px sans-serif}\n"
    ".r{text-anchor:end}.m{text-anchor:middle}.f{opacity:.35}\n"
    ".ax,.mk,.mb{fill:none}.mk{stroke-dasharray:3 3}"
    ".mb{stroke-width:1.5}\n"
    "svg{background:#fff}text{fill:#1c2430}.d{fill:#667085}\n"
    ".bg{fill:#fff}.ax{stroke:#d5dae1}.mk{stroke:#667085}\n"
    ".mb{stroke:#d2453b}.good{fill:#3a9d5d}.wait{fill:#c98f24}\n"
    ".bad{fill:#d2453b}.grey{fill:#98a2b3}.colo{fill:#2f7fd1}\n"
    ".passive{fill:#8a63c9}.c0{fill:#2f7fd1}.c1{fill:#d2453b}\n"
    ".c2{fill:#d9a036}.c3{fill:#3a9d5d}.c4{fill:#8a63c9}\n"
    ".c5{fill:#1f9e9e}.c6{fill:#c9579b}.c7{fill:#7d8590}\n"
    ".c8{fill:#8c5a2b}.c9{fill:#4b5563}\n"
    "@media(prefers-color-scheme:dark){\n"
    "svg{background:#12161c}text{fill:#e4e8ee}.d{fill:#97a1b0}\n"
    ".bg{fill:#12161c}.ax{stroke:#343c48}.mk{stroke:#97a1b0}\n"
    ".mb{stroke:#c84a41}.good{fill:#348f55}.wait{fill:#a8791f}\n"
    ".bad{fill:#c84a41}.grey{fill:#5b6675}.colo{fill:#3f86cf}\n"
    ".passive{fill:#8a68c6}.c0{fill:#5a9fe6}.c1{fill:#ee6a5f}\n"
    ".c2{fill:#e0b050}.c3{fill:#4cb572}.c4{fill:#a988e0}\n"
    ".c5{fill:#43bdbd}.c6{fill:#e07fb8}.c7{fill:#a0a9b5}\n"
    ".c8{fill:#c08a58}.c9{fill:#cbd2db}\n"
    ".on{fill:#fff}}\n"
    ".on{fill:#fff}\n"
    "</style>\n";

/* The colour of a state or mode. */
static const struct {
    const char *word, *class;
} colours[] = {
    { "colo", "colo" },          { "passive", "passive" },
    { "protected", "good" },     { "protecting", "good" },
    { "running", "good" },       { "syncing", "wait" },
    { "dropping", "wait" },      { "ending", "wait" },
    { "swapping", "wait" },      { "handing-over", "wait" },
    { "yielding", "wait" },      { "deciding", "wait" },
    { "taking-over", "wait" },   { "unprotected", "bad" },
    { "stuck", "bad" },          { "failed", "bad" },
    { "stood-aside", "bad" },
};

/* The same colour for a cause in every picture; the others get what is left
 * by their order. */
static const char *const causes[] = {
    "interval", "miscompare", "late",  "demand", "final",
    "extra",    "switch",     "first", "full",   "output",
};
#define NCAUSES ((unsigned int)(sizeof(causes) / sizeof(causes[0])))

static unsigned int cause_colour(const struct report *r, unsigned int k)
{
    for (unsigned int i = 0; i < NCAUSES; i++)
        if (!strcmp(causes[i], r->cause[k])) return i;
    return k % NCAUSES;
}

static const char *colour(const char *word)
{
    for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
        if (!strcmp(colours[i].word, word)) return colours[i].class;
    return "grey";
}

static void escaped(FILE *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '<') fputs("&lt;", out);
        else if (c == '>') fputs("&gt;", out);
        else if (c == '&') fputs("&amp;", out);
        else if (c == '"') fputs("&quot;", out);
        else if (c == '\'') fputs("&#39;", out);
        else fputc(c < 0x20 || c > 0x7e ? '?' : c, out);
    }
}

static void text(const struct draw *d, double x, double y, const char *class,
                 const char *s)
{
    fprintf(d->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    escaped(d->out, s);
    fputs("</text>\n", d->out);
}

/* Where a time is, in pixels. */
static double x_of(const struct draw *d, uint64_t at_us)
{
    const struct report *r = d->r;
    uint64_t span = r->last_us - r->first_us;

    if (at_us <= r->first_us || !span) return LEFT;
    if (at_us >= r->last_us) return LEFT + REPORT_COLUMNS;
    return LEFT + (double)(at_us - r->first_us) / (double)span *
           REPORT_COLUMNS;
}

/* "12.3 ms": three digits that matter, and a unit. */
static void show_us(char *buf, size_t size, uint64_t us)
{
    if (us < 1000) snprintf(buf, size, "%" PRIu64 " us", us);
    else if (us < 100000) snprintf(buf, size, "%.1f ms", (double)us / 1e3);
    else if (us < 1000000) snprintf(buf, size, "%" PRIu64 " ms", us / 1000);
    else if (us < 120000000) snprintf(buf, size, "%.1f s", (double)us / 1e6);
    else if (us < 7200000000)
        snprintf(buf, size, "%.1f min", (double)us / 60e6);
    else snprintf(buf, size, "%.1f h", (double)us / 3600e6);
}

static void show_bytes(char *buf, size_t size, uint64_t n)
{
    if (n < 10000) snprintf(buf, size, "%" PRIu64 " B", n);
    else if (n < 10000000) snprintf(buf, size, "%.1f kB", (double)n / 1e3);
    else if (n < 10000000000)
        snprintf(buf, size, "%.1f MB", (double)n / 1e6);
    else snprintf(buf, size, "%.1f GB", (double)n / 1e9);
}

/* The wall clock, in UTC: the same picture wherever it is drawn. */
static void show_clock(char *buf, size_t size, uint64_t us)
{
    time_t t = (time_t)(us / 1000000);
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm))
        buf[0] = 0;
}

/* ----- lanes ----- */

static void one_band(const struct draw *d, const struct report_band *b)
{
    double x = x_of(d, b->from_us), w = x_of(d, b->to_us) - x;
    size_t letters = strlen(b->word);
    char at[32];

    if (w < 0.5) w = 0.5; /* a short one is still there */
    show_us(at, sizeof(at), b->to_us - b->from_us);
    fprintf(d->out, "<rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\" "
            "class=\"%s\"><title>", x, d->y, w, BAND_H, colour(b->word));
    escaped(d->out, b->word);
    fprintf(d->out, ", %s", at);
    if (b->why[0]) fputs(" (", d->out);
    escaped(d->out, b->why);
    fputs(b->why[0] ? ")</title></rect>\n" : "</title></rect>\n", d->out);
    if (w > 8.0 * (double)letters + 8)
        text(d, x + w / 2, d->y + 14.5, "m on", b->word);
}

static void bands(struct draw *d, enum report_lane lane, const char *label)
{
    const struct report *r = d->r;

    if (!r->nbands[lane]) return;
    text(d, LEFT - 8, d->y + 14.5, "r", label);
    for (unsigned int i = 0; i < r->nbands[lane]; i++)
        one_band(d, &r->band[lane][i]);
    d->y += BAND_H + GAP;
}

/* A lane's frame, its name and what its top stands for. */
static void chart_frame(const struct draw *d, const char *label,
                        const char *top)
{
    text(d, LEFT - 8, d->y + CHART_H / 2 + 4, "r", label);
    text(d, LEFT + REPORT_COLUMNS + 6, d->y + 10, "d", top);
    text(d, LEFT + REPORT_COLUMNS + 6, d->y + CHART_H, "d", "0");
    fprintf(d->out, "<path d=\"M%d %uh%dM%d %uh%d\" class=\"ax\"/>\n",
            LEFT, d->y, REPORT_COLUMNS, LEFT, d->y + CHART_H,
            REPORT_COLUMNS);
}

static void bar(const struct draw *d, unsigned int i, double from, double to,
                const char *class)
{
    fprintf(d->out, "<rect x=\"%u\" y=\"%.1f\" width=\"1\" height=\"%.1f\" "
            "class=\"%s\"/>\n", LEFT + i, d->y + CHART_H - to, to - from,
            class);
}

static uint64_t column_checkpoints(const struct report_column *c)
{
    uint64_t n = 0;

    for (unsigned int k = 0; k < REPORT_CAUSES; k++)
        n += c->cause[k];
    return n;
}

static void checkpoints(struct draw *d)
{
    const struct report *r = d->r;
    uint64_t most = 0;
    char top[32], class[16];

    if (!r->ncauses) return;
    for (unsigned int i = 0; i < REPORT_COLUMNS; i++)
        if (column_checkpoints(&r->column[i]) > most)
            most = column_checkpoints(&r->column[i]);
    snprintf(top, sizeof(top), "%" PRIu64, most);
    chart_frame(d, "checkpoints", top);
    for (unsigned int i = 0; i < REPORT_COLUMNS; i++) {
        double h = 0;

        for (unsigned int k = 0; k < r->ncauses; k++) {
            double more = (double)r->column[i].cause[k] * CHART_H /
                          (double)most;

            if (more <= 0) continue;
            snprintf(class, sizeof(class), "c%u", cause_colour(r, k));
            bar(d, i, h, h + more, class);
            h += more;
        }
    }
    d->y += CHART_H + GAP;
}

/* Largest in light, mean in full colour. */
static void sums(struct draw *d, size_t where, const struct report_sum *all,
                 const char *label, const char *class,
                 void (*show)(char *, size_t, uint64_t))
{
    char top[32], light[24];

    if (!all->n || !all->max) return;
    show(top, sizeof(top), all->max);
    snprintf(light, sizeof(light), "f %s", class);
    chart_frame(d, label, top);
    for (unsigned int i = 0; i < REPORT_COLUMNS; i++) {
        const struct report_sum *s =
            (const void *)((const char *)&d->r->column[i] + where);
        double scale = CHART_H / (double)all->max, mean, max;

        if (!s->n) continue;
        max = (double)s->max * scale;
        mean = (double)(s->sum / s->n) * scale;
        if (mean > max) mean = max; /* a log may say anything */
        if (max > mean) bar(d, i, mean, max, light);
        bar(d, i, 0, mean, class);
    }
    d->y += CHART_H + GAP;
}

static void marks(const struct draw *d)
{
    const struct report *r = d->r;

    for (unsigned int i = 0; i < r->nmarks; i++) {
        const struct report_mark *m = &r->mark[i];

        fprintf(d->out, "<path d=\"M%.1f %dV%u\" class=\"%s\"><title>",
                x_of(d, m->at_us), TOP - 6, d->y - GAP + 6,
                m->bad ? "mb" : "mk");
        escaped(d->out, m->text);
        fputs("</title></path>\n", d->out);
        if (i < LIST_MAX) {
            char n[8];

            snprintf(n, sizeof(n), "%u", i + 1);
            text(d, x_of(d, m->at_us), TOP - 9, "m d", n);
        }
    }
}

/* ----- the axis and the words ----- */

static void axis(struct draw *d)
{
    static const uint64_t steps[] = {
        1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000,
        1000000, 2000000, 5000000, 10000000, 15000000, 30000000, 60000000,
        120000000, 300000000, 600000000, 900000000, 1800000000, 3600000000,
        7200000000, 10800000000, 21600000000, 43200000000, 86400000000,
        604800000000, 2592000000000, 31536000000000, 315360000000000,
    };
    const size_t nsteps = sizeof(steps) / sizeof(steps[0]);
    const struct report *r = d->r;
    uint64_t span = r->last_us - r->first_us;
    size_t i = 0;
    char label[32];

    while (i + 1 < nsteps && span / steps[i] > 10)
        i++;
    for (uint64_t at = 0; at <= span; at += steps[i]) {
        double x = x_of(d, r->first_us + at);

        fprintf(d->out, "<path d=\"M%.1f %uv5\" class=\"ax\"/>\n", x,
                d->y - GAP + 2);
        show_us(label, sizeof(label), at);
        text(d, x, d->y + 4, "m d", at ? label : "0");
    }
    d->y += GAP + 10;
}

static void legend(struct draw *d)
{
    const struct report *r = d->r;
    unsigned int x = LEFT;

    for (unsigned int k = 0; k < r->ncauses; k++) {
        char label[64];

        snprintf(label, sizeof(label), "%s %" PRIu64, r->cause[k],
                 r->causes[k]);
        if (x + 30 + 8 * strlen(label) > WIDTH) {
            x = LEFT;
            d->y += 18;
        }
        fprintf(d->out, "<rect x=\"%u\" y=\"%u\" width=\"10\" height=\"10\" "
                "class=\"c%u\"/>\n", x, d->y - 9, cause_colour(r, k));
        text(d, x + 15, d->y, "", label);
        x += 30 + 8 * (unsigned int)strlen(label);
    }
    if (r->ncauses) d->y += 22;
}

static void say_sum(struct draw *d, const char *what,
                    const struct report_sum *s,
                    void (*show)(char *, size_t, uint64_t))
{
    char mean[32], max[32], line[160];

    if (!s->n) return;
    show(mean, sizeof(mean), s->sum / s->n);
    show(max, sizeof(max), s->max);
    snprintf(line, sizeof(line), "%s: mean %s, largest %s", what, mean, max);
    text(d, LEFT, d->y, "", line);
    d->y += 18;
}

/* What a reader must know about the log itself. */
static void caveats(struct draw *d)
{
    const struct report *r = d->r;
    char line[200];

    if (r->skipped || r->unknown || r->undrawn) {
        snprintf(line, sizeof(line), "%" PRIu64 " lines made no sense and "
                 "were skipped; %" PRIu64 " events are of unknown kinds; %"
                 PRIu64 " marks and bands found no room", r->skipped,
                 r->unknown, r->undrawn);
        text(d, LEFT, d->y, "d", line);
        d->y += 18;
    }
    if (r->torn) {
        text(d, LEFT, d->y, "d", "the log ends in the middle of a line");
        d->y += 18;
    }
}

static void words(struct draw *d)
{
    const struct report *r = d->r;

    legend(d);
    say_sum(d, "guest paused for a checkpoint", &r->pause, show_us);
    say_sum(d, "packets held", &r->hold, show_us);
    if (!r->hold.n)
        say_sum(d, "longest that a packet can have been held, for each "
                "checkpoint", &r->bound, show_us);
    say_sum(d, "sent for a checkpoint", &r->bytes, show_bytes);
    for (unsigned int i = 0; i < r->nmarks && i < LIST_MAX; i++) {
        char at[32], line[REPORT_TEXT_MAX + 160];

        show_clock(at, sizeof(at), r->mark[i].at_us);
        snprintf(line, sizeof(line), "%u  %s.%03u  %s", i + 1, at,
                 (unsigned int)(r->mark[i].at_us / 1000 % 1000),
                 r->mark[i].text);
        text(d, LEFT, d->y, "", line);
        d->y += 18;
    }
    if (r->nmarks > LIST_MAX) {
        text(d, LEFT, d->y, "d", "and more, which are only drawn");
        d->y += 18;
    }
    caveats(d);
}

static void heading(const struct draw *d)
{
    const struct report *r = d->r;
    char from[32], to[32], span[32], line[REPORT_DOMAIN_MAX +
                                          REPORT_TEXT_MAX + 160];

    show_clock(from, sizeof(from), r->first_us);
    show_clock(to, sizeof(to), r->last_us);
    show_us(span, sizeof(span), r->last_us - r->first_us);
    text(d, 16, 24, "h", r->domain);
    snprintf(line, sizeof(line), "%s%s%s to %s UTC (%s), %" PRIu64
             " events", r->peer, r->peer[0] ? ", " : "", from, to, span,
             r->events);
    text(d, 16, 42, "d", line);
}

static void lanes(struct draw *d)
{
    const struct report *r = d->r;

    heading(d);
    bands(d, REPORT_PRIMARY, "primary");
    bands(d, REPORT_SECONDARY, "secondary");
    bands(d, REPORT_MODES, "mode");
    checkpoints(d);
    sums(d, offsetof(struct report_column, pause), &r->pause, "pause", "c0",
         show_us);
    sums(d, offsetof(struct report_column, hold), &r->hold, "packets held",
         "c5", show_us);
    if (!r->hold.n)
        sums(d, offsetof(struct report_column, bound), &r->bound,
             "held at most", "c4", show_us);
    sums(d, offsetof(struct report_column, bytes), &r->bytes, "sent", "c3",
         show_bytes);
    marks(d);
    axis(d);
    words(d);
}

int report_svg(FILE *out, const struct report *r)
{
    CLEANUP_FREE char *text_of_it = NULL;
    size_t len = 0;
    struct draw d = { open_memstream(&text_of_it, &len), r, TOP };
    bool bad;

    /* Its height stands in front of it, and is known at its end. */
    if (!d.out) return -ENOMEM;
    lanes(&d);
    bad = ferror(d.out);
    if (fclose(d.out) || bad) return -ENOMEM;
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
            "height=\"%u\" viewBox=\"0 0 %d %u\" role=\"img\">\n<title>",
            WIDTH, d.y, WIDTH, d.y);
    escaped(out, r->domain);
    fputs(", protected by xl-colo</title>\n", out);
    fputs(style, out);
    fputs("<rect width=\"100%\" height=\"100%\" class=\"bg\"/>\n", out);
    fputs(text_of_it, out);
    fputs("</svg>\n", out);
    return 0;
}
