/*
 * Who holds which keys and buttons of the VM down, so that none sticks: what a connection has
 * pressed comes up when it says so, or ends. A key that two hold is up when the last has let go.
 * Loop thread only.
 */
#ifndef VM_INPUT_H
#define VM_INPUT_H
#include <stdbool.h>
#include "base/err.h"

#define INPUT_KEYS 0x300u /* evdev codes from 0 */
#define INPUT_BUTTONS 5u
#define INPUT_OWNERS 64u

/* The guest's keyboard and mouse. */
struct input_ops {
	/* False: a press for which there is no room; a release is always taken. */
	bool (*key)(void *ctx, unsigned code, bool down);
	void (*button)(void *ctx, unsigned button, bool down);
};

struct input;

/* ops and ctx are borrowed. */
int input_create(const struct input_ops *ops, void *ctx, struct input **ret_input,
		 struct err *e) HV_MUST_CHECK;
void input_destroy(struct input *in); /* releases nothing; NULL is fine */

/* code and button are below the numbers above. owner: not NULL. False: not pressed, no room. */
bool input_key(struct input *in, const void *owner, unsigned code, bool down);
void input_button(struct input *in, const void *owner, unsigned button, bool down);
/* All that owner holds comes up. */
void input_release(struct input *in, const void *owner);
/* The guest of a saved state has keys down that nobody holds: all come up. */
void input_release_all(struct input *in);
#endif
