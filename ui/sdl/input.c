/* Keyboard and pointer, see input.h. */
#include "sdl/input.h"
#include <linux/input-event-codes.h>
#include <math.h>
#include <string.h>
#include "sdl/keymap.h"
#include "sdl/xkeys.h"

/* As in Input1.Leds. */
enum { LED_NUM = 2, LED_CAPS = 4 };

struct input {
	struct link *link;  /* borrowed */
	SDL_Window *window; /* borrowed */
	SDL_Scancode host_key;
	uint16_t down[SDL_NUM_SCANCODES]; /* the code that was pressed for it; 0: up */
	bool host_down, chord;		  /* the host key is held; and was used */
	bool live, blocked, focused, fullscreen;
	bool grabbed;  /* the guest has the pointer */
	bool freed;    /* the host key was pressed in full screen */
	unsigned leds; /* of the guest's keyboard */
	bool lights;   /* the guest does switch them */
	double scale_x, scale_y;
	double rest_x, rest_y, rest_wheel; /* less than one of the guest's steps */
	int32_t dx, dy, wheel;		   /* of this turn */
};

struct input *input_create(struct link *link, SDL_Window *window, SDL_Scancode host_key)
{
	struct input *in = g_new0(struct input, 1);

	in->link = link;
	in->window = window;
	in->host_key = host_key;
	in->scale_x = in->scale_y = 1.0;
	in->focused = (SDL_GetWindowFlags(window) & SDL_WINDOW_INPUT_FOCUS) != 0;
	/* Dead keys and input methods are the guest's business. */
	SDL_StopTextInput();
	return in;
}

void input_destroy(struct input *in)
{
	g_free(in);
}

/* ---- who has what ---- */

static void update_grab(struct input *in)
{
	const bool may = in->focused && !in->blocked;
	const bool pointer = may && in->grabbed;
	const bool keyboard = may && (in->grabbed || (in->fullscreen && !in->freed));

	if (pointer != (SDL_GetRelativeMouseMode() == SDL_TRUE))
		SDL_SetRelativeMouseMode(pointer);
	if (keyboard != (SDL_GetWindowKeyboardGrab(in->window) == SDL_TRUE))
		SDL_SetWindowKeyboardGrab(in->window, keyboard);
	SDL_SetWindowMouseGrab(in->window, pointer);
}

static void flush_motion(struct input *in)
{
	if (in->live)
		link_move(in->link, in->dx, in->dy, in->wheel);
	in->dx = in->dy = in->wheel = 0;
}

static void release_all(struct input *in)
{
	memset(in->down, 0, sizeof(in->down));
	flush_motion(in);
	link_release_all(in->link);
}

static void set_grabbed(struct input *in, bool grabbed)
{
	if (in->grabbed != grabbed)
		in->rest_x = in->rest_y = in->rest_wheel = 0;
	in->grabbed = grabbed;
	update_grab(in);
}

void input_set_live(struct input *in, bool live)
{
	in->live = live;
}

void input_set_blocked(struct input *in, bool blocked)
{
	if (blocked == in->blocked)
		return;
	in->blocked = blocked;
	in->host_down = false;
	if (blocked) {
		release_all(in);
		in->grabbed = false;
	}
	update_grab(in);
}

void input_set_fullscreen(struct input *in, bool fullscreen)
{
	in->fullscreen = fullscreen;
	in->freed = false;
	update_grab(in);
}

void input_set_scale(struct input *in, double x, double y)
{
	in->scale_x = x;
	in->scale_y = y;
}

/* ---- locks ---- */

static void sync_lock(struct input *in, bool host, unsigned led, unsigned code)
{
	if (host == ((in->leds & led) != 0))
		return;
	link_key(in->link, code, true);
	link_key(in->link, code, false);
}

/* The user may have switched locks while another window had the keyboard. A guest that never
 * switches a light does not say what it takes them for, and is left alone. */
static void sync_locks(struct input *in)
{
	const SDL_Keymod host = SDL_GetModState();

	if (!in->live || in->blocked || !in->lights)
		return;
	sync_lock(in, (host & KMOD_CAPS) != 0, LED_CAPS, KEY_CAPSLOCK);
	sync_lock(in, (host & KMOD_NUM) != 0, LED_NUM, KEY_NUMLOCK);
}

void input_set_leds(struct input *in, unsigned leds)
{
	in->lights |= leds != in->leds;
	in->leds = leds;
}

bool input_is_grabbed(const struct input *in)
{
	return in->grabbed;
}

void input_leave(struct input *in)
{
	release_all(in);
	set_grabbed(in, false);
	SDL_SetWindowKeyboardGrab(in->window, SDL_FALSE);
	link_push(in->link);
}

static enum command focus(struct input *in, bool focused)
{
	const bool was_grabbed = in->grabbed;

	in->focused = focused;
	in->host_down = in->freed = false;
	if (!focused) {
		release_all(in);
		in->grabbed = false;
	} else {
		sync_locks(in);
	}
	update_grab(in);
	return was_grabbed != in->grabbed ? COMMAND_GRAB : COMMAND_NONE;
}

/* ---- keyboard ---- */

static const struct {
	SDL_Keycode sym;
	SDL_Scancode code; /* where the layout has no such letter */
	enum command command;
} chords[] = {
	{ SDLK_f, SDL_SCANCODE_F, COMMAND_FULLSCREEN },
	{ SDLK_s, SDL_SCANCODE_S, COMMAND_SCALING },
	{ SDLK_q, SDL_SCANCODE_Q, COMMAND_CLOSE },
	{ SDLK_p, SDL_SCANCODE_P, COMMAND_PAUSE },
	{ SDLK_r, SDL_SCANCODE_R, COMMAND_RESET },
	{ SDLK_h, SDL_SCANCODE_H, COMMAND_HELP },
	{ SDLK_DELETE, SDL_SCANCODE_DELETE, COMMAND_CTRL_ALT_DEL },
};

static enum command chord(const SDL_Keysym *key)
{
	const bool latin = key->sym < 0x80 || (key->sym & SDLK_SCANCODE_MASK);

	for (size_t i = 0; i < G_N_ELEMENTS(chords); i++)
		if (latin ? key->sym == chords[i].sym : key->scancode == chords[i].code)
			return chords[i].command;
	return COMMAND_NONE;
}

static enum command host_key(struct input *in, bool down)
{
	const bool alone = in->host_down && !down && !in->chord;

	if (down)
		in->chord = false;
	in->host_down = down;
	if (!alone)
		return COMMAND_NONE;
	release_all(in);
	in->freed = true;
	set_grabbed(in, false);
	return COMMAND_GRAB;
}

static enum command key_event(struct input *in, const SDL_KeyboardEvent *e)
{
	uint16_t *pressed = &in->down[e->keysym.scancode % SDL_NUM_SCANCODES];
	const bool down = e->state == SDL_PRESSED;
	unsigned code;

	if (e->repeat) /* the guest's keyboard repeats by itself */
		return COMMAND_NONE;
	if (e->keysym.scancode == in->host_key)
		return host_key(in, down);
	if (down && in->host_down) {
		in->chord = true;
		return chord(&e->keysym);
	}
	/* What went down comes up, though SDL makes up the release and X is not asked. */
	code = down ? xkeys_evdev(e, keymap_evdev(e->keysym.scancode)) : *pressed;
	if (code == 0 || (down && !in->live))
		return COMMAND_NONE;
	*pressed = down ? (uint16_t)code : 0;
	flush_motion(in);
	link_key(in->link, code, down);
	return COMMAND_NONE;
}

void input_ctrl_alt_del(struct input *in)
{
	static const unsigned codes[] = { KEY_LEFTCTRL, KEY_LEFTALT, KEY_DELETE };
	const int n = G_N_ELEMENTS(codes);

	if (!in->live)
		return;
	for (int i = 0; i < n; i++)
		link_key(in->link, codes[i], true);
	for (int i = n - 1; i >= 0; i--)
		link_key(in->link, codes[i], false);
}

/* ---- pointer ---- */

/* v in the window's steps; what is less than one of the guest's stays in *rest. */
static int32_t whole_steps(double v, double *rest)
{
	const double sum = *rest + v, whole = trunc(sum);

	*rest = sum - whole;
	return (int32_t)fmax(-1e6, fmin(1e6, whole));
}

static void motion(struct input *in, const SDL_MouseMotionEvent *e)
{
	if (!in->grabbed || in->blocked)
		return;
	in->dx += whole_steps(e->xrel * in->scale_x, &in->rest_x);
	in->dy += whole_steps(e->yrel * in->scale_y, &in->rest_y);
}

static void wheel(struct input *in, const SDL_MouseWheelEvent *e)
{
	const double up = e->direction == SDL_MOUSEWHEEL_FLIPPED ? -e->preciseY : e->preciseY;

	if (in->grabbed && !in->blocked)
		in->wheel += whole_steps(up, &in->rest_wheel);
}

static enum command button_event(struct input *in, const SDL_MouseButtonEvent *e)
{
	static const unsigned numbers[] = {
		[SDL_BUTTON_LEFT] = 0, [SDL_BUTTON_MIDDLE] = 2, [SDL_BUTTON_RIGHT] = 1,
		[SDL_BUTTON_X1] = 3,   [SDL_BUTTON_X2] = 4,
	};
	const bool down = e->state == SDL_PRESSED;

	if (in->blocked || e->button < SDL_BUTTON_LEFT || e->button >= G_N_ELEMENTS(numbers))
		return COMMAND_NONE;
	if (!in->grabbed) {
		/* This click only takes the pointer; it was not aimed at anything of the guest's.
		 */
		if (!down || e->button != SDL_BUTTON_LEFT || !in->live)
			return COMMAND_NONE;
		in->freed = false;
		set_grabbed(in, true);
		return COMMAND_GRAB;
	}
	flush_motion(in);
	if (!down || in->live)
		link_button(in->link, numbers[e->button], down);
	return COMMAND_NONE;
}

/* ---- events ---- */

enum command input_event(struct input *in, const SDL_Event *e)
{
	switch (e->type) {
	case SDL_KEYDOWN:
	case SDL_KEYUP:
		return in->blocked ? COMMAND_NONE : key_event(in, &e->key);
	case SDL_MOUSEMOTION:
		motion(in, &e->motion);
		break;
	case SDL_MOUSEWHEEL:
		wheel(in, &e->wheel);
		break;
	case SDL_MOUSEBUTTONDOWN:
	case SDL_MOUSEBUTTONUP:
		return button_event(in, &e->button);
	case SDL_WINDOWEVENT:
		if (e->window.event == SDL_WINDOWEVENT_FOCUS_GAINED)
			return focus(in, true);
		if (e->window.event == SDL_WINDOWEVENT_FOCUS_LOST)
			return focus(in, false);
		break;
	}
	return COMMAND_NONE;
}

void input_flush(struct input *in)
{
	flush_motion(in);
	link_push(in->link);
}
