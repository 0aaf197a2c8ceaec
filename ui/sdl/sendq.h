/*
 * What the user did, on its way to the VM: bounded, however slow that is. Motion that waits is
 * added up; when there is no room new presses and motion are dropped, but never the release of what
 * was pressed. Pure; no lock of its own.
 */
#ifndef SDL_SENDQ_H
#define SDL_SENDQ_H
#include <stdbool.h>
#include <stdint.h>

#define SENDQ_SIZE 256u
#define SENDQ_KEYS 0x300u
#define SENDQ_BUTTONS 5u
#define SENDQ_DOWN_MAX 64u /* keys and buttons at a time: what is kept free for their releases */

struct sendq_event {
	enum sendq_kind { SENDQ_KEY, SENDQ_BUTTON, SENDQ_MOVE, SENDQ_RELEASE_ALL } kind;
	bool down;
	unsigned code; /* of the key or button */
	int32_t dx, dy, wheel;
};

struct sendq {
	struct sendq_event event[SENDQ_SIZE];
	unsigned head, len, n_down;
	bool key_down[SENDQ_KEYS], button_down[SENDQ_BUTTONS]; /* as the VM will know it */
};

/* A second press and a release without a press are nothing. */
void sendq_key(struct sendq *q, unsigned code, bool down);
void sendq_button(struct sendq *q, unsigned button, bool down);
void sendq_move(struct sendq *q, int32_t dx, int32_t dy, int32_t wheel);
/* Everything that is down comes up, then the VM is told to release whatever it thinks is down. */
void sendq_release_all(struct sendq *q);
bool sendq_take(struct sendq *q, struct sendq_event *ret); /* false: it is empty */
#endif
