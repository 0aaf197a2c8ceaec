/*
 * The terminal side of a serial port: raw mode, the escape key, and the pump between the terminal
 * (or whatever standard input and output are) and a stream.
 */
#ifndef CLI_TERM_H
#define CLI_TERM_H
#include <stdbool.h>
#include <stddef.h>

struct term;

struct term_ops {
	/* Ctrl-] and this key were typed; false: nothing is bound to it. May call term_stop(). */
	bool (*key)(void *ctx, char key);
	/* One line a key, for Ctrl-] ?. */
	const char *help;
	/* The stream has ended, or standard output has. */
	void (*ended)(void *ctx);
	void *ctx;
};

/* Takes over stream (closed by term_finish). input: standard input goes into it, in raw mode if
 * that is a terminal and this process is in its foreground. The pump runs in the main context until
 * term_finish(). */
struct term *term_start(int stream, bool input, const struct term_ops *ops);
bool term_is_raw(const struct term *t);
/* A line on standard error that looks right in raw mode, too. */
void term_say(struct term *t, const char *line);
/* Takes what is still in the stream until its end, then restores the terminal. NULL is fine. */
void term_finish(struct term *t, bool drain);
#endif
