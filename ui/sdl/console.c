/*
 * The console, see console.h. The window's thread sleeps until there is an event: of the desktop,
 * or of the link to the VM; nothing is drawn and no timer runs while nothing happens.
 */
#include "sdl/console.h"
#include <stdio.h>
#include <string.h>
#include "protocol/protocol.h"
#include "sdl/dialogs.h"
#include "sdl/input.h"
#include "sdl/keymap.h"
#include "sdl/link.h"
#include "sdl/settings.h"
#include "sdl/view.h"
#include "sdl/wait.h"
#include "sdl/xkeys.h"

#define FOLLOW_MS 400	/* a mode that has lasted so long gives the window its size */
#define AGAIN_MS 4	/* a draw was under way */
#define NOTE_MS 5000	/* how long a message stays */
#define GOODBYE_MS 2500 /* how long the last picture of a VM stays */

enum timer {
	TIMER_FOLLOW,
	TIMER_READ,
	TIMER_NOTE,
	TIMER_END,
	N_TIMERS,
};

struct console {
	struct console_options o;
	struct ui_vm *vm;	    /* borrowed */
	struct ui_display *display; /* borrowed */
	char *name;
	struct settings settings;
	struct link *link;
	struct wait wait;
	struct view *view;
	struct input *input;
	struct text *text;
	struct panel *panel, *note;
	struct link_state *state; /* NULL: not heard yet */
	bool ended;		  /* the VM has hung up, or closed this viewer */
	bool quit;
	int status;
	unsigned rate;	      /* as the VM was told */
	Uint64 due[N_TIMERS]; /* SDL's milliseconds; 0: not set */
	GError *error;	      /* what to end with */
};

static void set_timer(struct console *c, enum timer t, unsigned ms)
{
	c->due[t] = SDL_GetTicks64() + ms;
}

static bool in_state(const struct console *c, const char *state)
{
	return c->state && strcmp(c->state->state, state) == 0;
}

static bool runs(const struct console *c)
{
	return !c->ended && (in_state(c, "running") || in_state(c, "stopping"));
}

/* ---- title ---- */

/* What a person should know of the VM's state; NULL: it just runs. */
static const char *state_word(const struct console *c)
{
	if (in_state(c, "crashed"))
		return "crashed";
	if (c->ended || in_state(c, "stopped"))
		return "ended";
	if (in_state(c, "paused") && strcmp(c->state->reason, "disk-full") == 0)
		return "host's disk full";
	if (in_state(c, "paused"))
		return strcmp(c->state->reason, "guest-sleep") == 0 ? "asleep" : "paused";
	if (in_state(c, "stopping"))
		return "shutting down";
	return in_state(c, "starting") ? "starting" : NULL;
}

static void set_title(struct console *c)
{
	const char *word = state_word(c), *key = keymap_host_key_title(c->settings.host_key);
	g_autoptr(GString) s = g_string_new(c->name);

	if (word)
		g_string_append_printf(s, " [%s]", word);
	if (input_is_grabbed(c->input))
		g_string_append_printf(s, " - %s frees the pointer", key);
	else if (!c->ended)
		g_string_append_printf(s, " - %s+H: help", key);
	SDL_SetWindowTitle(view_window(c->view), s->str);
}

/* ---- panels ---- */

static void say(struct console *c, const char *title, const char *text, unsigned ms)
{
	dialog_note(c->note, title, text);
	c->due[TIMER_NOTE] = 0;
	if (ms > 0)
		set_timer(c, TIMER_NOTE, ms);
	view_set_overlays(c->view, c->panel, c->note);
}

static void close_note(struct console *c)
{
	panel_close(c->note);
	view_set_overlays(c->view, c->panel, c->note);
}

/* After a panel was opened, changed or closed. */
static void panel_changed(struct console *c)
{
	input_set_blocked(c->input, panel_is_open(c->panel));
	view_set_overlays(c->view, c->panel, c->note);
	set_title(c);
}

static void leave(struct console *c, int status)
{
	c->quit = true;
	c->status = status;
}

static void act(struct console *c, int action)
{
	if (action == PANEL_NOTHING)
		return;
	panel_close(c->panel);
	panel_changed(c);
	switch (action) {
	case ACTION_LEAVE:
		leave(c, 0);
		break;
	case ACTION_POWER_BUTTON:
		link_call(c->link, "Stop");
		break;
	case ACTION_PLUG:
		if (c->o.owned) {
			leave(c, LODGE_CONSOLE_PLUG);
		} else {
			c->due[TIMER_END] = 0;
			link_call(c->link, "Kill");
		}
		break;
	case ACTION_RESET:
		link_call(c->link, "Reset");
		break;
	}
}

static void want_close(struct console *c)
{
	if (c->ended) {
		leave(c, c->status);
		return;
	}
	dialog_close(c->panel, c->name, c->o.owned, !in_state(c, "paused"));
	panel_changed(c);
}

static bool panel_event(struct console *c, const SDL_Event *e)
{
	int x, y;

	if (!panel_is_open(c->panel))
		return false;
	switch (e->type) {
	case SDL_KEYDOWN:
		if (!e->key.repeat)
			act(c, panel_key(c->panel, e->key.keysym.scancode));
		break;
	case SDL_MOUSEMOTION:
		view_panel_point(c->view, e->motion.x, e->motion.y, &x, &y);
		panel_hover(c->panel, x, y);
		break;
	case SDL_MOUSEBUTTONDOWN:
		view_panel_point(c->view, e->button.x, e->button.y, &x, &y);
		act(c, e->button.button == SDL_BUTTON_LEFT ? panel_click(c->panel, x, y)
							   : PANEL_NOTHING);
		break;
	default:
		return false;
	}
	view_set_overlays(c->view, c->panel, c->note);
	return true;
}

/* ---- commands ---- */

static void next_scaling(struct console *c)
{
	static const char *const titles[LAYOUT_N_SCALINGS] = {
		[LAYOUT_FIT] = "Scaling: as large as fits",
		[LAYOUT_INTEGER] = "Scaling: whole factors",
		[LAYOUT_SMOOTH] = "Scaling: smooth",
	};
	const enum layout_scaling next =
		(enum layout_scaling)((view_scaling(c->view) + 1) % LAYOUT_N_SCALINGS);

	view_set_scaling(c->view, next);
	say(c, titles[next], NULL, NOTE_MS / 3);
}

static void toggle_fullscreen(struct console *c)
{
	const bool on = !view_is_fullscreen(c->view);

	view_set_fullscreen(c->view, on);
	input_set_fullscreen(c->input, on);
	if (on) {
		g_autofree char *how = g_strdup_printf("%s+F leaves full screen",
						       keymap_host_key_title(c->settings.host_key));
		say(c, how, NULL, NOTE_MS / 2);
	} else {
		close_note(c);
	}
}

static void run_command(struct console *c, enum command command)
{
	switch (command) {
	case COMMAND_FULLSCREEN:
		toggle_fullscreen(c);
		break;
	case COMMAND_SCALING:
		next_scaling(c);
		break;
	case COMMAND_CLOSE:
		want_close(c);
		break;
	case COMMAND_CTRL_ALT_DEL:
		input_ctrl_alt_del(c->input);
		break;
	case COMMAND_PAUSE:
		link_call(c->link, in_state(c, "paused") ? "Resume" : "Pause");
		break;
	case COMMAND_RESET:
		if (!c->ended)
			dialog_reset(c->panel, c->name);
		panel_changed(c);
		break;
	case COMMAND_HELP:
		dialog_help(c->panel, keymap_host_key_title(c->settings.host_key));
		panel_changed(c);
		break;
	case COMMAND_GRAB:
		set_title(c);
		break;
	case COMMAND_NONE:
		break;
	}
}

/* ---- the VM ---- */

static void mode_changed(struct console *c)
{
	double x, y;

	view_pointer_scale(c->view, &x, &y);
	input_set_scale(c->input, x, y);
}

static void display_failed(struct console *c, const char *what)
{
	if (!c->error && !c->ended)
		g_set_error(&c->error, LODGE_ERROR, LODGE_ERROR_FAILED, "VM \"%s\" %s", c->name,
			    what);
	leave(c, LODGE_ERROR_FAILED);
}

static void read_display(struct console *c)
{
	struct ui_picture pic;

	switch (ui_display_read(c->display, &pic)) {
	case UI_FRAME_NEW:
		view_take(c->view, &pic);
		if (pic.mode_changed) {
			mode_changed(c);
			set_timer(c, TIMER_FOLLOW, FOLLOW_MS);
		}
		if (pic.torn)
			set_timer(c, TIMER_READ, AGAIN_MS);
		break;
	case UI_FRAME_LATER:
		set_timer(c, TIMER_READ, AGAIN_MS);
		break;
	case UI_FRAME_BAD:
		display_failed(c, "sends a picture that makes no sense");
		return;
	case UI_FRAME_ENDED: /* the link says why */
		c->wait.frame_fd = -1;
		return;
	case UI_FRAME_SAME:
		break;
	}
	link_watch_frame(c->link);
}

static void take_state(struct console *c, struct link_state *s)
{
	if (in_state(c, "crashed") || in_state(c, "stopped")) { /* the last word */
		link_state_free(s);
		return;
	}
	link_state_free(c->state);
	c->state = s;
	input_set_live(c->input, runs(c));
	set_title(c);
	if (strcmp(s->reason, "stop-ignored") == 0)
		say(c, "The guest did not react to its power button.", NULL, NOTE_MS);
}

/* How it ended, in the window and, unless that is as it should be, as our own error. */
static void tell_end(struct console *c)
{
	const char *why = c->state ? c->state->end : "";

	if (in_state(c, "crashed")) {
		say(c, "The VM has crashed", why[0] ? why : c->state->reason, 0);
		g_set_error(&c->error, LODGE_ERROR, LODGE_ERROR_FAILED, "VM \"%s\" has crashed%s%s",
			    c->name, why[0] ? ": " : "", why);
	} else if (in_state(c, "stopped")) {
		say(c, "The VM has ended", strcmp(c->state->reason, "user") == 0 ? NULL : why, 0);
	} else {
		say(c, "The VM is gone", "Its process has ended without a word.", 0);
		g_set_error(&c->error, LODGE_ERROR, LODGE_ERROR_FAILED, "VM \"%s\" ended suddenly",
			    c->name);
	}
	c->status = c->error ? LODGE_ERROR_FAILED : 0;
	if (c->o.owned) { /* `lodge run` says it, and whoever waits for the end of its output shall
			   * not wait for us */
		g_clear_error(&c->error);
		if (!freopen("/dev/null", "w", stderr))
			fclose(stderr);
	}
}

static void vm_closed(struct console *c)
{
	read_display(c); /* the last picture */
	c->ended = true;
	panel_close(c->panel);
	input_set_live(c->input, false);
	input_leave(c->input);
	if (in_state(c, "stopped") && strcmp(c->state->reason, "replaced") == 0) {
		leave(c, CONSOLE_REPLACED);
		return;
	}
	tell_end(c);
	panel_changed(c);
	if (!c->o.keep_open && !in_state(c, "crashed"))
		set_timer(c, TIMER_END, GOODBYE_MS);
}

static void link_event(struct console *c, const SDL_UserEvent *e)
{
	switch ((enum link_event)(e->type - link_first_event(c->link))) {
	case LINK_FRAME:
		read_display(c);
		break;
	case LINK_STATE:
		take_state(c, e->data1);
		break;
	case LINK_FAILED:
		say(c, "That was not possible", e->data1, NOTE_MS);
		g_free(e->data1);
		break;
	case LINK_LEDS:
		input_set_leds(c->input, (unsigned)e->code);
		break;
	case LINK_CLOSED:
		vm_closed(c);
		break;
	case LINK_N_EVENTS:
		break;
	}
}

/* ---- the loop ---- */

static void window_event(struct console *c, const SDL_WindowEvent *e)
{
	if (e->event == SDL_WINDOWEVENT_CLOSE) {
		want_close(c);
		return;
	}
	view_window_event(c->view, e);
	mode_changed(c); /* the same size of the guest's, another of the window */
}

static void handle(struct console *c, const SDL_Event *e)
{
	const Uint32 first = link_first_event(c->link);

	if (e->type >= first && e->type < first + LINK_N_EVENTS) {
		link_event(c, &e->user);
		return;
	}
	switch (e->type) {
	case SDL_QUIT: /* a signal, or the end of the session: that is nothing to ask about */
		leave(c, c->status);
		return;
	case SDL_WINDOWEVENT:
		window_event(c, &e->window);
		break;
	case SDL_RENDER_TARGETS_RESET:
	case SDL_RENDER_DEVICE_RESET:
		view_lost(c->view);
		return;
	}
	if (!panel_event(c, e))
		run_command(c, input_event(c->input, e));
}

static void run_timer(struct console *c, enum timer t)
{
	switch (t) {
	case TIMER_FOLLOW:
		view_follow(c->view);
		mode_changed(c);
		break;
	case TIMER_READ:
		read_display(c);
		break;
	case TIMER_NOTE:
		close_note(c);
		break;
	case TIMER_END:
		leave(c, c->status);
		break;
	case N_TIMERS:
		break;
	}
}

/* Runs what is due; how long until the next is, -1: there is none. */
static int run_timers(struct console *c)
{
	int wait = -1;

	for (int t = 0; t < N_TIMERS; t++) {
		const Uint64 now = SDL_GetTicks64();
		if (c->due[t] != 0 && c->due[t] <= now) {
			c->due[t] = 0;
			run_timer(c, (enum timer)t);
		}
	}
	for (int t = 0; t < N_TIMERS; t++) {
		const Uint64 now = SDL_GetTicks64();
		const int left = c->due[t] > now ? (int)(c->due[t] - now) : 0;
		if (c->due[t] != 0 && (wait < 0 || left < wait))
			wait = left;
	}
	return wait;
}

static void tell_rate(struct console *c)
{
	const unsigned rate = view_rate(c->view);

	if (rate == c->rate || c->ended)
		return;
	c->rate = rate;
	ui_display_set_rate(c->display, rate);
}

static void loop(struct console *c)
{
	SDL_Event e;
	bool frame;
	int wait = 0;

	while (!c->quit) {
		/* Frames would be events without end; each turn draws. */
		if (wait_event(&c->wait, &e, wait, &frame)) {
			do
				handle(c, &e);
			while (!c->quit && SDL_PollEvent(&e));
		}
		if (frame)
			read_display(c);
		wait = run_timers(c);
		input_flush(c->input);
		tell_rate(c);
		view_show(c->view);
	}
}

/* ---- life ---- */

static void set_hints(void)
{
	SDL_SetHint(SDL_HINT_APP_NAME, "Lodge");
	SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
	SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
	SDL_SetHint(SDL_HINT_VIDEO_MINIMIZE_ON_FOCUS_LOSS, "0");
	SDL_SetHint(SDL_HINT_QUIT_ON_LAST_WINDOW_CLOSE, "0");
	SDL_SetHint(SDL_HINT_MOUSE_FOCUS_CLICKTHROUGH, "1");
	SDL_SetHint(SDL_HINT_ALLOW_ALT_TAB_WHILE_GRABBED, "0");
	SDL_SetHint(SDL_HINT_RENDER_BATCHING, "1");
	/* Where we draw by the CPU, SDL must not start a GPU's driver to show that. */
	SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");
	/* Dead keys, and input methods, are for the guest to make something of; X would keep them.
	 */
	g_setenv("XMODIFIERS", "@im=none", TRUE);
	g_setenv("XCOMPOSEFILE", "/dev/null", TRUE);
	g_setenv("SDL_VIDEO_X11_WMCLASS", "lodge-console", FALSE);
	g_setenv("SDL_VIDEO_WAYLAND_WMCLASS", "lodge-console", FALSE);
}

/* The VM's own name, which may not be what it was asked for by. */
static char *name_of(struct ui_vm *vm)
{
	g_autoptr(GVariant) props = ui_vm_properties(vm, NULL);
	char *name = NULL;

	if (props)
		g_variant_lookup(props, "Name", "s", &name);
	return name ? name : g_strdup(ui_vm_name(vm));
}

static bool first_picture(struct console *c, struct ui_picture *ret, GError **error)
{
	for (unsigned i = 0; i < 500; i++) {
		const enum ui_frame r = ui_display_read(c->display, ret);
		if (r == UI_FRAME_NEW)
			return true;
		if (r == UI_FRAME_BAD || r == UI_FRAME_ENDED)
			break;
		g_usleep(10000);
	}
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "VM \"%s\" sends no picture", c->name);
	return false;
}

static bool open_window(struct console *c, GError **error)
{
	struct view_options vo = { .title = c->name,
				   .scaling = c->settings.scaling,
				   .fullscreen = c->o.fullscreen };
	struct geometry g;
	struct ui_picture pic;

	if (!first_picture(c, &pic, error))
		return false;
	if (geometry_load(c->name, &g))
		vo.geometry = &g;
	c->view = view_create(&vo, &pic, error);
	if (!c->view)
		return false;
	c->text = text_create(view_scale(c->view), error);
	if (!c->text)
		return false;
	c->panel = panel_create(c->text, view_scale(c->view));
	c->note = panel_create(c->text, view_scale(c->view));
	c->wait.desktop_fd = wait_desktop_fd(view_window(c->view));
	c->wait.frame_fd = ui_display_wake_fd(c->display);
	c->link = link_start(c->vm, c->wait.desktop_fd < 0 ? c->wait.frame_fd : -1);
	c->wait.link_fd = link_event_fd(c->link);
	c->input = input_create(c->link, view_window(c->view), c->settings.host_key);
	input_set_fullscreen(c->input, c->o.fullscreen);
	mode_changed(c);
	set_title(c);
	return true;
}

static void finish(struct console *c)
{
	if (c->input)
		input_leave(c->input);
	link_stop(c->link);
	if (c->view) {
		const struct geometry g = view_geometry(c->view);
		geometry_save(c->name, &g);
	}
	input_destroy(c->input);
	panel_destroy(c->panel);
	panel_destroy(c->note);
	text_destroy(c->text);
	view_destroy(c->view);
	link_state_free(c->state);
	g_free(c->name);
	/* No SDL_Quit(): under X11 it would read the answer to a wake-up that another thread sent,
	 * by a connection of its own, to the window that is gone by now, and Xlib ends a program at
	 * that. The process ends here anyway, and the display takes back what it had. */
}

int console_run(struct ui_vm *vm, struct ui_display *display, const struct console_options *o,
		GError **error)
{
	struct console c = { .o = *o, .vm = vm, .display = display, .rate = 60 };

	if (!settings_load(&c.settings, error))
		return (*error)->code;
	c.name = name_of(vm);
	set_hints();
	if (SDL_Init(SDL_INIT_VIDEO) < 0) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT,
			    "there is no display to open a window on: %s", SDL_GetError());
		g_free(c.name);
		return LODGE_ERROR_HOST_LIMIT;
	}
	xkeys_start();
	if (!open_window(&c, error)) {
		finish(&c);
		return (*error)->code;
	}
	loop(&c);
	finish(&c);
	if (c.error)
		g_propagate_error(error, c.error);
	return c.status;
}
