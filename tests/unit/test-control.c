/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-control.c - The local socket, with clients of every kind */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "control.h"
#include "tap.h"

#define UUID  "6a0b3c5e-0000-4000-8000-00163e000001"
#define UUID2 "6a0b3c5e-0000-4000-8000-00163e000002"

static char dir[] = "/tmp/test-control-XXXXXX";
static char run[32], sock[100];

static struct control *must_listen(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct control *c = NULL;

    if (control_listen(&c, UUID, &err)) {
        printf("Bail out! %s\n", err.msg);
        exit(1);
    }
    return c;
}

/* One turn of the owner's loop. Return: the number of questions; the last one
 * is in *@req_r */
static unsigned int turn(struct control *c, struct control_req *req_r)
{
    struct pollfd pfd[CONTROL_FDS];
    unsigned int n = 0, fds = control_pollfds(c, pfd);
    struct control_req r;

    poll(pfd, fds, 50);
    while (control_next(c, pfd, &r)) {
        *req_r = r;
        n++;
    }
    return n;
}

/* Turns until a question comes. */
static bool question(struct control *c, struct control_req *req_r)
{
    for (int i = 0; i < 40; i++)
        if (turn(c, req_r)) return true;
    return false;
}

static int client(void)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval tv = { .tv_sec = 5 };

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", sock);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void tells(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        printf("# send: %s\n", strerror(errno));
}

/* What the owner says up to its hanging up. */
static const char *hears(int fd)
{
    static char buf[512];
    size_t len = 0;
    ssize_t n;

    while (len < sizeof(buf) - 1 &&
           (n = recv(fd, buf + len, sizeof(buf) - 1 - len, 0)) > 0)
        len += (size_t)n;
    buf[len] = 0;
    return buf;
}

static void test_listen(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct control *c = must_listen(), *d = NULL;
    struct stat st, dst;

    ok(!stat(run, &dst) && (dst.st_mode & 07777) == 0700 &&
       !lstat(sock, &st) && S_ISSOCK(st.st_mode) &&
       (st.st_mode & 0777) == 0600, "0600 in a directory of 0700");
    ok(control_listen(&d, UUID, &err) == -EBUSY && err.msg[0],
       "a guest has one owner: %s", err.msg);
    xlc_error_clear(&err);
    ok(!control_listen(&d, UUID2, &err), "another guest has another");
    control_free(d);
    control_free(c);
    ok(lstat(sock, &st) < 0 && errno == ENOENT, "its name goes with it");
    ok(rmdir(run) == 0, "and nothing else is left behind");
    control_free(NULL);
    control_forked(NULL);
}

static void test_bad_names(void)
{
    static const char *const bad[] = {
        "", "../../etc/passwd", "6a0b3c5e-0000-4000-8000-00163e00000/",
        "6a0b3c5e-0000-4000-8000-00163e0000011",
    };
    struct control *c = NULL;
    bool pass = true;
    int fd;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        pass &= control_listen(&c, bad[i], NULL) == -EINVAL;
    ok(pass, "only a uuid becomes a file name");

    mkdir(run, 0755);
    fd = open(sock, O_CREAT | O_WRONLY, 0600);
    close(fd);
    ok(control_listen(&c, UUID, NULL) == -EEXIST,
       "what is not a socket is not removed");
    unlink(sock);
    c = must_listen();
    ok(access(run, F_OK) == 0, "a directory that is there is used");
    control_free(c);
}

/* A killed owner leaves its socket; the next one replaces it. */
static void test_killed(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct control *c;
    char *answer = NULL;
    pid_t pid = fork();
    int r;

    if (pid == 0) {
        must_listen();
        _exit(0); /* without control_free(): killed */
    }
    waitpid(pid, NULL, 0);
    ok(access(sock, F_OK) == 0 &&
       control_ask(sock, CONTROL_STATUS, 1000, &answer, &err) ==
       -ECONNREFUSED, "nobody answers on a killed owner's socket");
    c = must_listen();
    pid = fork();
    if (pid == 0) {
        control_forked(c);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    ok(access(sock, F_OK) == 0, "it is replaced; a child leaves it alone");

    /* Somebody else took the name although he should not have. */
    unlink(sock);
    r = open(sock, O_CREAT | O_WRONLY, 0600);
    close(r);
    control_free(c);
    ok(access(sock, F_OK) == 0, "a name that is not ours is left alone");
    unlink(sock);
    xlc_error_clear(&err);
    ok(control_ask(sock, CONTROL_STATUS, 1000, &answer, &err) == -ENOENT &&
       !answer, "and no socket is ENOENT");
}

/* Many processes want the same guest at the same time. */
static void test_race(void)
{
    enum { ROUNDS = 20, PROCS = 8 };
    bool pass = true;

    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid[PROCS];
        int go[2], owners = 0;

        if (pipe(go) < 0) break;
        for (int i = 0; i < PROCS; i++) {
            pid[i] = fork();
            if (pid[i] == 0) {
                struct control *c = NULL;
                char b;

                close(go[1]);
                if (read(go[0], &b, 1) != 0) _exit(2);
                if (control_listen(&c, UUID, NULL)) _exit(1);
                pause(); /* killed: its socket stays for the next round */
            }
        }
        close(go[0]);
        close(go[1]);
        for (int left = PROCS - 1; left > 0; left--) {
            int status;
            pid_t p = waitpid(-1, &status, 0);

            for (int i = 0; i < PROCS; i++)
                if (pid[i] == p) pid[i] = 0;
            pass &= WIFEXITED(status) && WEXITSTATUS(status) == 1;
        }
        for (int i = 0; i < PROCS; i++) {
            if (!pid[i]) continue;
            owners++;
            kill(pid[i], SIGKILL);
            waitpid(pid[i], NULL, 0);
        }
        pass &= owners == 1;
    }
    ok(pass, "of %d processes exactly one owns the guest, %d times", PROCS,
       ROUNDS);
    unlink(sock);
}

static void test_questions(void)
{
    struct control *c = must_listen();
    struct xlc_error err = XLC_ERROR_INIT;
    struct control_req q;
    int fd, fd2;

    for (unsigned int op = 0; op < CONTROL_NOPS; op++) {
        char line[32];
        bool got;

        fd = client();
        snprintf(line, sizeof(line), "%s%s\n", control_op_name(op),
                 op == CONTROL_SET ? " a=1 b=~" : "");
        tells(fd, line);
        got = question(c, &q) && q.op == op &&
              !strcmp(q.args, op == CONTROL_SET ? "a=1 b=~" : "");
        control_reply(c, q.id, "{\"rc\":0}");
        ok(got && !strcmp(hears(fd), "{\"rc\":0}\n"), "%s is asked and "
           "answered on one line", control_op_name(op));
        close(fd);
    }
    ok(!strcmp(control_op_name(CONTROL_NOPS), "?"), "there are no others");

    fd = client();
    fd2 = client();
    tells(fd, "checkpoint\n");
    ok(question(c, &q) && q.op == CONTROL_CHECKPOINT, "a long question");
    tells(fd2, "status\n");
    struct control_req q2;
    ok(question(c, &q2) && q2.op == CONTROL_STATUS && q2.id != q.id,
       "another one meanwhile");
    control_reply(c, q2.id, "{\"rc\":0,\"n\":2}");
    ok(!strcmp(hears(fd2), "{\"rc\":0,\"n\":2}\n"), "is answered first");
    xlc_error_set(&err, -EIO, "the \"disk\"\n\xff is gone\\");
    control_reply_error(c, q.id, &err);
    ok(!strcmp(hears(fd), "{\"rc\":5,\"error\":\"the \\\"disk\\\"?? is "
               "gone\\\\\"}\n"), "an error's sentence can't break the line");
    control_reply(c, q.id, "{\"rc\":0}");
    control_reply(c, 12345, "{\"rc\":0}");
    ok(!control_busy(c), "an answer to nobody is no harm");
    close(fd);
    close(fd2);
    control_free(c);
}

static void test_bad_clients(void)
{
    static char long_line[CONTROL_LINE_MAX + 8];
    static const struct {
        const char *text, *answer;
    } bad[] = {
        { "\n", "no such operation" },
        { "Status\n", "no such operation" },
        { "status \n", "no such operation" },
        { "wait for=it\n", "no such operation" },
        { "set\n", "no such operation" },
        { "setting a=1\n", "no such operation" },
        { "set a=\t\n", "no such operation" },
        { "set a=\x7f\n", "no such operation" },
        { "set a=\xc3\xa4\n", "no such operation" },
        { long_line, "too long" },
    };
    struct control *c = must_listen();
    struct control_req q;
    int fd;

    memset(long_line, 'x', sizeof(long_line) - 1);
    memcpy(long_line, "set ", 4);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fd = client();
        tells(fd, bad[i].text);
        turn(c, &q);
        ok(turn(c, &q) == 0 && strstr(hears(fd), bad[i].answer),
           "%s", bad[i].answer);
        close(fd);
    }

    fd = client();
    if (send(fd, "status\0x\n", 9, MSG_NOSIGNAL) != 9) exit(1);
    turn(c, &q);
    ok(turn(c, &q) == 0 && strstr(hears(fd), "no such operation"),
       "nothing hides behind a zero");
    close(fd);

    fd = client();
    tells(fd, "sta");
    ok(turn(c, &q) == 0 && turn(c, &q) == 0, "half a line is no question");
    tells(fd, "tus\nrest");
    ok(question(c, &q) && q.op == CONTROL_STATUS, "its other half makes one");
    ok(control_waits(c, q.id) && !control_waits(c, q.id + 1),
       "it waits for its answer");
    close(fd); /* without waiting for the answer */
    turn(c, &q);
    ok(!control_waits(c, q.id), "until it goes away");
    control_reply(c, q.id, "{\"rc\":0}");
    ok(!control_busy(c), "a client that went away is forgotten");

    fd = client();
    tells(fd, "stop");
    turn(c, &q);
    turn(c, &q);
    close(fd);
    ok(turn(c, &q) == 0 && turn(c, &q) == 0, "gone in the middle of a line");
    control_free(c);
}

/* A reader that does not read, a big answer, and too many clients. */
static void test_crowd(void)
{
    struct control *c = must_listen();
    struct control_req q;
    char *big = malloc(CONTROL_ANSWER_MAX + 1), *answer = NULL;
    int fd[CONTROL_CLIENTS + 8], slow, i, answered = 0;

    memset(big, ' ', CONTROL_ANSWER_MAX);
    big[CONTROL_ANSWER_MAX] = 0;
    slow = client();
    tells(slow, "status\n");
    question(c, &q);
    control_reply(c, q.id, big);
    ok(control_busy(c), "a slow reader blocks nobody");

    for (i = 0; i < CONTROL_CLIENTS + 8; i++) { /* only hold their places */
        fd[i] = client();
        turn(c, &q);
    }
    i = client();
    tells(i, "status\n");
    ok(question(c, &q), "a crowd that says nothing keeps nobody out");
    control_reply(c, q.id, "{}");
    ok(!strcmp(hears(i), "{}\n"), "nor from an answer");
    close(i);
    ok(control_busy(c), "nor does it take the slow reader's place");
    for (i = 0; i < CONTROL_CLIENTS + 8; i++)
        close(fd[i]);
    for (i = 0; i < 4; i++)
        turn(c, &q);

    for (i = 0; i < CONTROL_CLIENTS; i++) { /* the last needs slow's place */
        fd[i] = client();
        tells(fd[i], "checkpoint\n");
        question(c, &q);
    }
    ok(!control_busy(c), "unless all others wait for answers");
    i = client();
    tells(i, "status\n");
    turn(c, &q);
    ok(!hears(i)[0], "when all wait, the next is turned away");
    close(i);
    for (unsigned int id = 0; id < 200; id++)
        control_reply(c, id, "{}");
    for (i = 0; i < CONTROL_CLIENTS; i++) {
        answered += !strcmp(hears(fd[i]), "{}\n");
        close(fd[i]);
    }
    ok(answered == CONTROL_CLIENTS, "and all %d are answered", answered);
    close(slow);
    free(big);
    free(answer);
    control_free(c);
}

static atomic_bool serving;

static void *serve(void *arg)
{
    struct control *c = arg;
    struct control_req q;

    while (serving)
        if (turn(c, &q) && q.op == CONTROL_STATUS)
            control_reply(c, q.id, "{\"rc\":0}");
    return NULL;
}

static void test_ask(void)
{
    struct control *c = must_listen();
    struct xlc_error err = XLC_ERROR_INIT;
    char *answer = NULL, path[200], args[CONTROL_LINE_MAX];
    pthread_t t;
    int r;

    serving = true;
    pthread_create(&t, NULL, serve, c);
    r = control_ask(sock, CONTROL_STATUS, 5000, &answer, &err);
    ok(!r && answer && !strcmp(answer, "{\"rc\":0}"), "ask: an answer");
    free(answer);
    answer = NULL;
    r = control_ask(sock, CONTROL_STATUS, -1, &answer, &err);
    ok(!r && answer, "ask: with all the time in the world");
    free(answer);
    answer = NULL;
    r = control_ask(sock, CONTROL_STOP, 200, &answer, &err);
    ok(r == -ETIMEDOUT && !answer, "ask: %s", strstr(err.msg, "no"));

    /* "set ", the arguments and the newline are a whole line. */
    memset(args, 'x', sizeof(args) - 1);
    args[CONTROL_LINE_MAX - 5] = 0;
    r = control_ask_begin(sock, CONTROL_SET, args, 5000, &err);
    ok(r >= 0, "ask: the longest question");
    close(r);
    memset(args, 'x', CONTROL_LINE_MAX - 4);
    args[CONTROL_LINE_MAX - 4] = 0;
    xlc_error_clear(&err);
    r = control_ask_begin(sock, CONTROL_SET, args, 5000, &err);
    ok(r == -EINVAL, "ask: %s", err.msg);
    xlc_error_clear(&err);
    r = control_ask_begin(sock, CONTROL_SET, "a=1\nstop", 5000, &err);
    ok(r == -EINVAL, "ask: %s", err.msg);
    serving = false;
    pthread_join(t, NULL);
    control_free(c);

    xlc_error_clear(&err);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    ok(control_ask(path, CONTROL_STATUS, 100, &answer, &err) ==
       -ENAMETOOLONG, "ask: a path that fits no socket");
}

/* An owner that answers with rubbish without end, or hangs up. */
static void test_ask_rubbish(void)
{
    static const size_t sizes[] = { 0, 100, CONTROL_ANSWER_MAX + 200000 };
    static const int want[] = { -ECONNRESET, -ECONNRESET, -EMSGSIZE };
    bool pass = true;

    for (int i = 0; i < 3; i++) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char *answer = NULL;
        pid_t pid;

        snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", sock);
        if (bind(l, (struct sockaddr *)&sa, sizeof(sa)) || listen(l, 1))
            pass = false;
        pid = fork();
        if (pid == 0) {
            int fd = accept(l, NULL, NULL);
            char x[1000], line[64];

            if (recv(fd, line, sizeof(line), 0) < 0) _exit(1);
            memset(x, 'x', sizeof(x));
            for (size_t sent = 0; sent < sizes[i]; sent += sizeof(x) / 10)
                if (send(fd, x, sizeof(x) / 10, MSG_NOSIGNAL) < 0) break;
            _exit(0);
        }
        close(l);
        pass &= control_ask(sock, CONTROL_STATUS, 20000, &answer, NULL) ==
                want[i] && !answer;
        waitpid(pid, NULL, 0);
        unlink(sock);
    }
    ok(pass, "ask: rubbish is only an error");
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    snprintf(run, sizeof(run), "%s/run", dir);
    snprintf(sock, sizeof(sock), "%s/" UUID CONTROL_SUFFIX, run);
    control_set_dir(run);
    ok(!strcmp(control_dir(), run), "the directory is the test's own");

    test_listen();
    test_bad_names();
    test_killed();
    test_race();
    test_questions();
    test_bad_clients();
    test_crowd();
    test_ask();
    test_ask_rubbish();
    rmdir(run);
    ok(rmdir(dir) == 0, "nothing is left behind");
    return done_testing();
}
