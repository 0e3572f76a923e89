/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * error.h - Errors as values: a status and one sentence
 *
 * A function that can fail takes a struct xlc_error as its last parameter and
 * returns 0 or a negative errno. It touches *err only on failure. The first
 * error wins: xlc_error_set() on an error that is already set changes nothing,
 * so a clean-up step can never hide what went wrong first. A caller may put
 * its own context in front with xlc_error_wrap().
 *
 * The sentence names the thing, the reason and, where there is one, the way
 * out. It holds no secret and no unescaped text from outside.
 */
#ifndef XLC_ERROR_H
#define XLC_ERROR_H

#define XLC_ERROR_MAX 512

/**
 * struct xlc_error - an error, or none
 * @status: 0 (no error) or a negative errno
 * @msg: the sentence; empty without an error
 */
struct xlc_error {
    int status;
    char msg[XLC_ERROR_MAX];
};

#define XLC_ERROR_INIT { 0, "" }

/**
 * xlc_error_set() - record an error unless one is recorded already
 * @err: where to; NULL is allowed (the status still comes back)
 * @status: a negative errno
 * @fmt: the sentence
 *
 * Return: the status that is recorded now, so that "return
 * xlc_error_set(...)" reads well
 */
int xlc_error_set(struct xlc_error *err, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * xlc_error_wrap() - put context in front of a recorded error
 *
 * Return: the recorded status
 */
int xlc_error_wrap(struct xlc_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void xlc_error_clear(struct xlc_error *err);

/**
 * xlc_sanitise() - copy text from outside so that it can be shown
 * @dst: destination of @size octets, always terminated
 * @src: @len octets from the peer or the guest
 *
 * Control characters and octets outside ASCII become '?'.
 */
void xlc_sanitise(char *dst, unsigned int size, const void *src,
                  unsigned int len);

#endif
