/* The PC's keyboard controller with keyboard and mouse. Regions: 0 the data port, 1 the status and
 * command port. Lines: keyboard (ISA 1), mouse (ISA 12). */
#ifndef DEVMODEL_INPUT_I8042_H
#define DEVMODEL_INPUT_I8042_H
#include "devmodel/dev.h"

extern const struct dev_class dm_i8042;

/* What the user does; under the device's domain. code: evdev (KEY_*); what the keyboard does not
 * have is ignored, and so is what changes nothing. False: a press for which the keyboard has no
 * room, as the guest has not read what came before. */
bool dm_i8042_key(struct dev *d, unsigned code, bool down);
/* Relative motion in counts, y downwards, wheel upwards. */
void dm_i8042_move(struct dev *d, int32_t dx, int32_t dy, int32_t wheel);
/* button: 0 left, 1 right, 2 middle, 3 side, 4 extra. */
void dm_i8042_button(struct dev *d, unsigned button, bool down);
/* Keyboard LEDs as the guest set them: bit 0 scroll lock, 1 num lock, 2 caps lock. */
unsigned dm_i8042_leds(struct dev *d);
#endif
