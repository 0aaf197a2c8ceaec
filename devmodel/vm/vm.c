/* The VM of this process, see vm.h. */
#include "vm/vm.h"
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include "base/log.h"
#include "protocol/protocol.h"
#include "vm/base.h"
#include "vm/control.h"
#include "vm/gdb/gdb.h"
#include "vm/media.h"
#include "vm/sandbox.h"
#include "vm/snapshot.h"

const char *vm_state_name(enum vm_state s)
{
	static const char *const names[] = { "starting", "running", "paused",
					     "stopping", "stopped", "crashed" };

	return names[s];
}

const char *vm_name(const struct vm *vm)
{
	return vm->cfg.name ? vm->cfg.name : vm->claim.name;
}

static void set_state(struct vm *vm, enum vm_state state, const char *reason)
{
	if (vm->state == state && strcmp(vm->reason, reason) == 0)
		return;
	vm->state = state;
	vm->reason = reason;
	if (vm->display)
		display_set_running(vm->display, state == VM_RUNNING || state == VM_STOPPING);
	log_msg(LOG_LVL_INFO, "vm", "%s%s%s", vm_state_name(state), reason[0] ? ": " : "", reason);
	if (vm->control)
		control_state_changed(vm->control);
}

void vm_quit(struct vm *vm, enum vm_state state, const char *reason, int status, const char *text)
{
	if (vm->quitting)
		return;
	vm->quitting = true;
	vm->exit_status = status;
	g_strlcpy(vm->exit_text, text, sizeof(vm->exit_text));
	set_state(vm, state, reason);
	if (vm->main)
		g_main_loop_quit(vm->main);
}

/* One that waits for room stays paused when there is some. */
int vm_pause(struct vm *vm, const char *reason, struct err *e)
{
	int r;

	if (vm->room.full) {
		vm->room.stay = true;
		return 0;
	}
	r = machine_pause(vm->machine, e);
	if (r == 0 && !vm->quitting)
		set_state(vm, VM_PAUSED, reason);
	return r;
}

/* A guest without a place to wake up at fails in this, and the VM quits. */
static void wake(struct vm *vm)
{
	vm->sleeping = false;
	machine_wake(vm->machine);
	if (!vm->quitting && machine_running(vm->machine))
		set_state(vm, VM_RUNNING, "user");
}

int vm_resume(struct vm *vm, const char *reason, struct err *e)
{
	int r;

	if (vm->suspending)
		return err_set(e, -EBUSY, "VM \"%s\" is being suspended", vm_name(vm));
	vm->room.stay = false;
	if (vm->room.full) {
		room_retry(vm);
		return err_set(
			e, -ENOSPC,
			"VM \"%s\" waits for room on the host: it goes on by itself when there "
			"is some",
			vm_name(vm));
	}
	if (vm->sleeping)
		wake(vm);
	if (vm->quitting)
		return err_set(e, -EBUSY, "VM \"%s\" is stopping", vm_name(vm));
	r = machine_run(vm->machine, e);
	if (r == 0)
		set_state(vm, VM_RUNNING, reason);
	return r;
}

void vm_has_no_room(struct vm *vm)
{
	vm->room.full = true;
	vm->room.stay = !machine_running(vm->machine);
	machine_hold(vm->machine);
	set_state(vm, VM_PAUSED, "disk-full");
}

void vm_has_room(struct vm *vm)
{
	struct err e;
	int r = vm->room.stay ? machine_pause(vm->machine, &e) : machine_release(vm->machine, &e);

	if (r == -ENOSPC) /* again: room.c hears of it */
		return;
	vm->room.full = false;
	if (r < 0)
		vm_quit(vm, VM_CRASHED, "error", LODGE_EXIT_FAILED, e.msg);
	else
		set_state(vm, vm->room.stay ? VM_PAUSED : VM_RUNNING, "user");
}

void vm_reset(struct vm *vm)
{
	const bool slept = vm->sleeping;

	vm->sleeping = false;
	machine_reset(vm->machine);
	if (slept && !vm->quitting && machine_running(vm->machine))
		set_state(vm, VM_RUNNING, "user");
}

void vm_power_button(struct vm *vm)
{
	if (vm->sleeping) {
		wake(vm);
		return;
	}
	machine_power_button(vm->machine);
	if (vm->state == VM_RUNNING)
		set_state(vm, VM_STOPPING, "user");
}

void vm_stop_ignored(struct vm *vm)
{
	if (vm->state == VM_STOPPING)
		set_state(vm, VM_RUNNING, "stop-ignored");
}

static int check_savable(struct vm *vm, struct err *e)
{
	const char *why = machine_cannot_save(vm->machine);

	return why ? err_set(e, -EBUSY, "this VM cannot be saved: %s", why) : 0;
}

struct save {
	struct vm *vm;
	saving_done *done;
	void *ctx;
};

static void on_saved(void *ctx, int result, uint64_t bytes, const char *why)
{
	struct save *s = ctx;

	s->vm->saving = NULL;
	s->done(s->ctx, result, bytes, why);
	media_ejected(s->vm);
	merging_begin(s->vm);
	g_free(s);
}

static int begin_save(struct vm *vm, int fd, saving_done *done, void *ctx, struct err *e)
{
	struct save *s = g_new(struct save, 1);
	struct saving *saving;

	*s = (struct save){ vm, done, ctx };
	const int r = saving_begin(vm->machine, vm->loop, fd, on_saved, s, &saving, e);
	if (r < 0)
		g_free(s);
	else
		vm->saving = saving;
	return r;
}

int vm_check_not_saving(const struct vm *vm, struct err *e)
{
	return vm->saving == NULL
		       ? 0
		       : err_set(e, -EBUSY,
				 "a state of VM \"%s\" is being saved: try again when it "
				 "is done",
				 vm_name(vm));
}

/* It can be saved to that file, and stands still. */
static int stop_to_save(struct vm *vm, int fd, struct err *e)
{
	int r = saving_check_target(fd, e);

	if (r == 0)
		r = vm_check_not_saving(vm, e);
	if (r == 0)
		r = check_savable(vm, e);
	return r == 0 ? machine_pause(vm->machine, e) : r;
}

void vm_go_on(struct vm *vm)
{
	struct err e;

	if (machine_run(vm->machine, &e) < 0)
		vm_quit(vm, VM_CRASHED, "error", LODGE_EXIT_FAILED, e.msg);
}

int vm_save(struct vm *vm, int fd, bool stay, saving_done *done, void *ctx, struct err *e)
{
	const bool was_running = machine_running(vm->machine);
	int r = stop_to_save(vm, fd, e);

	if (r < 0)
		return r;
	if (stay)
		set_state(vm, VM_PAUSED, "user"); /* done, which may be called now, may change it */
	r = begin_save(vm, fd, done, ctx, e);
	if (was_running && (!stay || r < 0))
		vm_go_on(vm);
	if (was_running && stay && r < 0)
		set_state(vm, VM_RUNNING, "user");
	return r;
}

int vm_snapshot(struct vm *vm, int fd, const char *id, saving_done *done, void *ctx, struct err *e)
{
	const bool was_running = machine_running(vm->machine);
	int r;

	merging_stop(vm);
	r = stop_to_save(vm, fd, e);
	if (r == 0) {
		r = snapshot_switch(vm, id, e);
		if (r == 0)
			r = begin_save(vm, fd, done, ctx, e);
		if (was_running)
			vm_go_on(vm);
	}
	if (r < 0)
		merging_begin_later(vm);
	return r;
}

static void crashed(struct vm *vm, const char *what, int status, const char *text)
{
	g_autofree char *line = g_strdup_printf("%s: %s", what, text ? text : "no reason given");

	vm_quit(vm, VM_CRASHED, status == LODGE_EXIT_CRASHED ? "guest" : "error", status, line);
}

static void on_machine_event(void *ctx, const struct machine_event *ev)
{
	struct vm *vm = ctx;

	switch (ev->kind) {
	case MACHINE_POWERED_OFF:
		vm_quit(vm, VM_STOPPED, "guest", 0, "");
		break;
	case MACHINE_DEBUG_EXIT:
		vm_quit(vm, VM_STOPPED, "guest", (int)MIN(ev->arg, LODGE_EXIT_GUEST_MAX), "");
		break;
	case MACHINE_RESET:
		log_msg(LOG_LVL_INFO, "vm", "the guest was reset");
		display_stir(vm->display);
		control_leds_changed(vm->control);
		if (vm->state == VM_STOPPING)
			set_state(vm, VM_RUNNING, "guest");
		break;
	case MACHINE_SLEEPING:
		vm->sleeping = true;
		set_state(vm, VM_PAUSED, "guest-sleep");
		break;
	case MACHINE_LEDS:
		control_leds_changed(vm->control);
		break;
	case MACHINE_EJECTED:
		media_ejected(vm);
		break;
	case MACHINE_CRASHED:
		crashed(vm, "the guest crashed", LODGE_EXIT_CRASHED, ev->text);
		break;
	case MACHINE_FAILED:
		crashed(vm, "the engine cannot go on", LODGE_EXIT_FAILED, ev->text);
		break;
	case MACHINE_DEBUG_STOP:
		if (vm->gdb)
			gdb_machine_stopped(vm->gdb, ev->vcpu, ev->exit);
		break;
	}
}

/* ---- start ---- */

static gboolean on_loop_ready(gint fd, GIOCondition cond, gpointer data)
{
	(void)fd;
	(void)cond;
	loop_dispatch(data, 0);
	return G_SOURCE_CONTINUE;
}

static int start_loop(struct vm *vm, struct err *e)
{
	int r = loop_create(&vm->loop, e);

	if (r < 0)
		return r;
	vm->loop_source = g_unix_fd_source_new(loop_fd(vm->loop), G_IO_IN);
	g_source_set_callback(vm->loop_source, (GSourceFunc)(void *)on_loop_ready, vm->loop, NULL);
	/* It never does; but for others GLib takes the descriptor out of its set and back around
	 * each call, which wakes it up once more. */
	g_source_set_can_recurse(vm->loop_source, TRUE);
	g_source_attach(vm->loop_source, NULL);
	return 0;
}

static int start_serial(struct vm *vm, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < MACHINE_MAX_SERIAL; i++) {
		g_autofree char *name = g_strdup_printf("serial.%u.output", i);
		const char *output = vm->cfg.serial[i].output;
		r = serial_create(vm->loop, name, output ? output : "none", vm->cfg.deterministic,
				  &vm->serial[i], e);
	}
	if (r == 0)
		r = serial_create(vm->loop, "debugcon.output", vm->cfg.debugcon,
				  vm->cfg.deterministic, &vm->debugcon, e);
	return r;
}

/* Nobody draws before there is a display. */
static void screen_changed(void *ctx)
{
	display_changed(((struct vm *)ctx)->display);
}

static int start_machine(struct vm *vm, struct err *e)
{
	const struct vm_config *c = &vm->cfg;
	struct machine_config mc = {
		.type = c->machine,
		.engine = vm->engine->name,
		.cpu_model = c->cpu_model,
		.n_cpus = c->n_cpus,
		.ram_bytes = c->memory_bytes,
		.translate = strcmp(c->soft_tier, "translate") == 0,
		.translate_after = c->soft_translate_after,
		.engine_disable = c->soft_disable,
		.count_insns = c->stats,
		.deterministic = c->deterministic,
		.digest_fd = vm->files.digest_fd,
		.digest_from = c->digest_from,
		.digest_every = c->digest || c->digest_from ? c->digest_every : 0,
		.digest_memory = c->digest_memory,
		.trace_fd = vm->files.trace_fd,
		.perf_map_fd = vm->files.perf_map_fd,
		.rtc_local = strcmp(c->clock, "local") == 0,
		.debug_exit_port = (uint16_t)c->debug_exit,
		.stuck_gpa = c->stuck_address,
		.stuck_ones = (uint8_t)c->stuck_bits,
		.firmware = vm->files.firmware_fd >= 0 ? c->bios : NULL,
		.firmware_fd = vm->files.firmware_fd,
		.display = strcmp(c->display, "none") != 0 ? MACHINE_DISPLAY_VGA
							   : MACHINE_DISPLAY_NONE,
		.vga_bios = vm->files.vga_bios_fd >= 0 ? c->vga_bios : NULL,
		.vga_bios_fd = vm->files.vga_bios_fd,
		.boot_menu_ms = (uint16_t)(c->boot_menu ? c->boot_menu_ms : 0),
		.boot_fail_ms = c->boot_fail_ms,
		.option_rom = c->option_rom,
		.option_rom_fd = vm->files.option_rom_fd,
		.kernel = c->kernel,
		.initrd = c->initrd,
		.append = c->append,
		.kernel_fd = vm->files.kernel_fd,
		.initrd_fd = vm->files.initrd_fd,
		.state_file = c->state,
		.state_fd = vm->files.state_fd,
	};
	struct machine_backends b = { .loop = vm->loop, .debugcon = serial_chr(vm->debugcon) };
	int r;

	vm_config_generation(c, mc.generation);
	for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++)
		b.serial[i] = serial_chr(vm->serial[i]);
	r = vm_drives_fill(&vm->drives, c, &vm->files, &b, e);
	if (r < 0)
		return r;
	r = machine_create(&mc, &b, on_machine_event, vm, &vm->machine, e);
	if (r == -ENOTSUP && engine_instead(&vm->cfg, &vm->engine, vm->engine_reason, e)) {
		mc.engine = vm->engine->name;
		r = machine_create(&mc, &b, on_machine_event, vm, &vm->machine, e);
	}
	if (r == 0)
		log_msg(LOG_LVL_INFO, "engine", "%s: %s", vm->engine->name, vm->engine_reason);
	if (r == 0)
		machine_watch_screen(vm->machine, screen_changed, vm);
	return r;
}

static bool draw(void *ctx, struct disp_picture *p, bool all)
{
	struct vm *vm = ctx;

	return machine_draw(vm->machine, p, all);
}

static bool press_key(void *ctx, unsigned code, bool down)
{
	return machine_key(((struct vm *)ctx)->machine, code, down);
}

static void press_button(void *ctx, unsigned button, bool down)
{
	machine_pointer_button(((struct vm *)ctx)->machine, button, down);
}

static int start_screen(struct vm *vm, struct err *e)
{
	static const struct input_ops ops = { .key = press_key, .button = press_button };
	const int r = display_create(vm->loop, draw, vm, &vm->display, e);

	return r == 0 ? input_create(&ops, vm, &vm->input, e) : r;
}

/* Landlock holds for threads that start later, so it comes before the control server, which
 * has threads of its own, and the machine, which starts those of its CPUs and disks; seccomp is put
 * on all threads at once and comes last. */
static int start_sandboxed(struct vm *vm, struct err *e)
{
	const char *home = vm->home.read_only ? NULL : vm->home.dir;
	int r;

	if (vm->files.state_fd >= 0)
		prefetch_plan(&vm->prefetch);
	r = sandbox_files(vm->claim.root, vm->claim.dir, home, e);

	if (r == -ENOSYS)
		log_msg(LOG_LVL_INFO, "sandbox", "%s: %s", e->msg,
			home ? "the user's files are not guarded"
			     : "files are guarded by seccomp alone");
	else if (r < 0)
		return r;
	room_watch(vm);
	r = start_screen(vm, e);
	if (r == 0)
		r = control_create(vm, &vm->control, e);
	if (r == 0)
		r = start_machine(vm, e);
	if (r == 0 && vm->files.state_fd >= 0) {
		input_release_all(vm->input);
		prefetch_begin(&vm->prefetch, vm->files.state_fd);
	}
	if (r == 0)
		r = sandbox_calls(vm->engine == &hv_engine_kvm, home != NULL, e);
	return r;
}

/* Runs it, or leaves it as it was saved: asleep. */
static int first_run(struct vm *vm, struct err *e)
{
	int r = 0;

	vm->sleeping = machine_asleep(vm->machine);
	if (vm->gdb && vm->cfg.gdb_wait) {
		set_state(vm, VM_PAUSED, "debugger");
	} else if (vm->sleeping) {
		r = machine_run(vm->machine, e);
		set_state(vm, VM_PAUSED, "guest-sleep");
	} else {
		r = vm_resume(vm, "", e);
	}
	return r;
}

int vm_start(struct vm *vm, struct err *e)
{
	int r;

	vm->reason = "";
	vm->exit_status = -1;
	vm->main = g_main_loop_new(NULL, FALSE);
	r = engine_choose(&vm->cfg, &vm->engine, vm->engine_reason, e);
	if (r == 0)
		r = base_settle(&vm->home, &vm->cfg, e);
	if (r == 0)
		r = vm_files_open(&vm->cfg, &vm->files, e);
	if (r == 0)
		r = start_loop(vm, e);
	if (r == 0)
		r = start_serial(vm, e);
	if (r == 0)
		r = vm_claim_take(vm->home.dir, &vm->claim, e);
	if (r == 0 && vm->cfg.gdb)
		r = gdb_create(vm, &vm->gdb, e);
	if (r == 0)
		r = vm_home_begin(&vm->home, e);
	if (r == 0)
		r = start_sandboxed(vm, e);
	if (r == 0)
		r = vm_home_resumed(&vm->home, e);
	if (r < 0)
		return r;
	vm->started_ns = loop_now_ns();
	vm->begun = true;
	merging_begin_later(vm);
	media_ejected(vm); /* before the state was saved that it goes on from */
	return first_run(vm, e);
}

void vm_finish(struct vm *vm)
{
	saving_wait(vm->saving);
	merging_stop(vm);
	gdb_destroy(vm->gdb);
	for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++)
		if (vm->serial[i])
			serial_flush(vm->serial[i], 5000);
	if (vm->debugcon)
		serial_flush(vm->debugcon, 5000);
	control_destroy(vm->control);
	input_destroy(vm->input);
	machine_destroy(vm->machine);
	room_finish(vm);
	display_destroy(vm->display); /* its CPUs told it of changes until then */
	for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++)
		serial_destroy(vm->serial[i]);
	serial_destroy(vm->debugcon);
	vm_drives_finish(&vm->drives);
	prefetch_end(&vm->prefetch);
	vm_files_close(&vm->files);
	if (vm->loop_source) {
		g_source_destroy(vm->loop_source);
		g_source_unref(vm->loop_source);
	}
	loop_destroy(vm->loop);
	vm_home_leave(&vm->home, vm->begun);
	vm_claim_release(&vm->claim);
	if (vm->main)
		g_main_loop_unref(vm->main);
	vm_config_finish(&vm->cfg);
}
