/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log-xtl.c - A xentoollog logger that writes into this project's log */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xentoollog.h>

#include "log.h"

/* See log_xtl_expect(). */
static const char *volatile expected;

static void message(enum log_level at, int errnoval, const char *context,
                    const char *format, va_list al)
{
    char text[800];

    /* Statistics of every hypercall buffer; nobody has ever missed them. */
    if (context && !strncmp(context, "xencall", 7)) return;
    vsnprintf(text, sizeof(text), format, al);
    if (expected && strstr(text, expected)) at = LOG_LEVEL_DEBUG;
    log_at(at, "%s: %s%s%s", context ? context : "xen", text,
           errnoval >= 0 ? ": " : "", errnoval >= 0 ? strerror(errnoval) : "");
}

static void xtl_message(struct xentoollog_logger *logger,
                        xentoollog_level level, int errnoval,
                        const char *context, const char *format, va_list al)
{
    enum log_level at = LOG_LEVEL_DEBUG;

    (void)logger;
    if (level >= XTL_ERROR) at = LOG_LEVEL_ERROR;
    else if (level >= XTL_WARN) at = LOG_LEVEL_WARN;
    message(at, errnoval, context, format, al);
}

static void xtl_message_debug(struct xentoollog_logger *logger,
                              xentoollog_level level, int errnoval,
                              const char *context, const char *format,
                              va_list al)
{
    (void)logger, (void)level;
    message(LOG_LEVEL_DEBUG, errnoval, context, format, al);
}

/* Progress of libxc's passes is shown by this project's own progress line. */
static void xtl_progress_(struct xentoollog_logger *logger,
                          const char *context, const char *doing_what,
                          int percent, unsigned long done,
                          unsigned long total)
{
    (void)logger, (void)context, (void)doing_what;
    (void)percent, (void)done, (void)total;
}

static void xtl_destroy_(struct xentoollog_logger *logger)
{
    (void)logger;
}

void log_xtl_expect(const char *text)
{
    expected = text;
}

struct xentoollog_logger *log_xtl(void)
{
    static struct xentoollog_logger logger = {
        .vmessage = xtl_message,
        .progress = xtl_progress_,
        .destroy = xtl_destroy_,
    };

    return &logger;
}

struct xentoollog_logger *log_xtl_debug(void)
{
    static struct xentoollog_logger logger = {
        .vmessage = xtl_message_debug,
        .progress = xtl_progress_,
        .destroy = xtl_destroy_,
    };

    return &logger;
}
