/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-owner.c - Owns a guest's control socket and says what a test wants
 *
 * fake-owner UUID DIR: listens in xl-colo.run, prints "ready", then answers
 * each question OP with the first line of DIR/OP, or with {"rc":0} if there is
 * none, and adds OP, and what came with it, to DIR/asked. A question whose
 * file is empty is never answered. After a "stop", "shutdown" or "reboot" that
 * was answered with rc 0 its guest is free and it ends.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

static void note(const char *dir, const char *op, const char *args)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/asked", dir);
    f = fopen(path, "a");
    if (!f) exit(1);
    fprintf(f, "%s%s%s\n", op, *args ? " " : "", args);
    fclose(f);
}

/* Return: true if there is something to say */
static bool answer_to(const char *dir, const char *op, char answer[4096])
{
    char path[256];
    FILE *f;

    snprintf(answer, 4096, "{\"rc\":0}");
    snprintf(path, sizeof(path), "%s/%s", dir, op);
    f = fopen(path, "r");
    if (!f) return true;
    if (!fgets(answer, 4096, f)) *answer = 0;
    fclose(f);
    answer[strcspn(answer, "\n")] = 0;
    return *answer;
}

/* Return: true if the guest is free now */
static bool answer(struct control *c, const struct control_req *q,
                   const char *dir)
{
    const char *op = control_op_name(q->op);
    char text[4096];

    if (q->op != CONTROL_STATUS) note(dir, op, q->args);
    if (!answer_to(dir, op, text)) return false;
    control_reply(c, q->id, text);
    return (q->op == CONTROL_STOP || q->op == CONTROL_SHUTDOWN ||
            q->op == CONTROL_REBOOT) && !strncmp(text, "{\"rc\":0", 7);
}

int main(int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct pollfd pfd[CONTROL_FDS];
    struct control *c = NULL;
    struct control_req q;
    bool over = false;

    if (argc != 3) return 2;
    control_set_dir("xl-colo.run");
    if (control_listen(&c, argv[1], &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while (!over || control_busy(c)) {
        poll(pfd, control_pollfds(c, pfd), -1);
        while (control_next(c, pfd, &q))
            over |= answer(c, &q, argv[2]);
    }
    control_free(c);
    return 0;
}
