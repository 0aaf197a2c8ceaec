/* The machine's life: creation, running, pausing, reset, sleep, what guests ask for. machine.h. */
#include "devmodel/machine/machine_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/util.h"
#include "cpu/digest.h"
#include "devmodel/chipset/mc146818.h"
#include "devmodel/chipset/pm.h"
#include "devmodel/input/i8042.h"
#include "state/container.h"

enum { CMOS_SHUTDOWN = 0x0f, SHUTDOWN_S3 = 0xfe };
#define RNG_SEED 1 /* of deterministic machines */
#define RAM_MIN HV_MIB(1)
#define RAM_MAX (MEMMAP_PCI64 - HV_GIB(4))

/* ---- all devices ---- */

static void each_locked(struct machine *m, void (*fn)(struct dev *d))
{
	for (struct env_dev *ed = m->env.first; ed != NULL; ed = ed->next) {
		hv_domain_lock(ed->domain);
		fn(ed->dev);
		hv_domain_unlock(ed->domain);
	}
}

static void dev_reset(struct dev *d)
{
	d->cls->reset(d);
}

static void dev_resume(struct dev *d)
{
	if (d->cls->resume != NULL)
		d->cls->resume(d);
}

static int quiesce_all(struct machine *m, struct err *e)
{
	for (struct env_dev *ed = m->env.first; ed != NULL; ed = ed->next) {
		const int r = ed->dev->cls->quiesce != NULL ? ed->dev->cls->quiesce(ed->dev, e) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

void machine_each_dev(struct machine *m, void (*fn)(void *ctx, struct dev *d), void *ctx)
{
	for (struct env_dev *ed = m->env.first; ed != NULL; ed = ed->next)
		fn(ctx, ed->dev);
}

/* ---- running and pausing ---- */

static void go(struct machine *m)
{
	m->held = false;
	each_locked(m, dev_resume);
	hv_clock_start(m->clock);
	hv_vm_run(&m->vm);
}

static void stop_cpus(struct machine *m)
{
	hv_vm_stop(&m->vm);
	hv_clock_stop(m->clock);
}

/* On failure the guest runs on, or is held: -ENOSPC. */
static int halt(struct machine *m, struct err *e)
{
	stop_cpus(m);
	const int r = quiesce_all(m, e);
	m->held = r == -ENOSPC;
	if (r < 0 && !m->held)
		go(m);
	return r;
}

void machine_hold(struct machine *m)
{
	if (!m->running || m->asleep || m->held)
		return;
	stop_cpus(m);
	m->held = true;
}

int machine_release(struct machine *m, struct err *e)
{
	if (!m->held)
		return 0;
	const int r = halt(m, e);
	if (r == 0)
		go(m);
	return r;
}

/* What waits for room would be written later, from memory that is another's by then: it fails. */
static int halt_for_reset(struct machine *m, struct err *e)
{
	int r = halt(m, e);

	if (r != -ENOSPC)
		return r;
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++)
		if (m->back.disk[i].blk != NULL)
			m->back.disk[i].blk->ops->drain(m->back.disk[i].blk);
	return halt(m, e);
}

int machine_run(struct machine *m, struct err *e)
{
	(void)e;
	if (m->running)
		return 0;
	m->running = true;
	if (!m->asleep)
		go(m);
	return 0;
}

int machine_pause(struct machine *m, struct err *e)
{
	if (!m->running)
		return 0;
	if (!m->asleep) {
		const int r = halt(m, e);
		if (r < 0)
			return r;
	}
	m->running = false;
	return 0;
}

bool machine_running(const struct machine *m)
{
	return m->running;
}

bool machine_asleep(const struct machine *m)
{
	return m->asleep;
}

struct hv_vm *machine_vm(struct machine *m)
{
	return &m->vm;
}

/* ---- power-on ---- */

int machine_power_on(struct machine *m, struct err *e)
{
	each_locked(m, dev_reset);
	hv_vm_reset_cpus(&m->vm);
	dm_rtc_set_memory(m->rtc->dev, m->map.low_bytes, m->map.high_bytes);
	floppy_set_cmos(m);
	return m->boot.store != NULL ? boot_direct(m, e) : 0;
}

static void emit(struct machine *m, enum machine_event_kind kind, uint32_t arg, const char *text)
{
	const struct machine_event ev = { .kind = kind, .arg = arg, .text = text };

	m->fn(m->ctx, &ev);
}

/* A CPU that was to be reset went on until then, and may have come to its end on the way: system
 * software asks for a reset and then loads an empty IDT, in case it does not come. */
static void forget_triple_fault(struct machine *m)
{
	pthread_mutex_lock(&m->ask_lock);
	if (m->vm_event == HV_VM_SHUTDOWN)
		m->asked &= ~(unsigned)ASK_VM;
	pthread_mutex_unlock(&m->ask_lock);
}

void machine_reset(struct machine *m)
{
	const bool was_running = m->running;
	struct err e = { 0 };
	int r = 0;

	if (was_running && !m->asleep)
		r = halt_for_reset(m, &e);
	m->asleep = false;
	forget_triple_fault(m);
	if (r == 0)
		r = machine_power_on(m, &e);
	if (r < 0) {
		m->running = false;
		emit(m, MACHINE_FAILED, 0, e.msg);
		return;
	}
	if (was_running)
		go(m);
	emit(m, MACHINE_RESET, 0, NULL);
}

/*
 * What has no power in S3 is as at power-on. The adapter has some: no BIOS sets a mode for a system
 * that wakes up, and a console on a mode of the BIOS' (VGA text, VESA) does not either. So has the
 * host bridge: firmware finds its memory where it had shadowed it, and by what it left there that
 * this is no power-on.
 */
static void wake_devices(struct machine *m)
{
	for (struct env_dev *ed = m->env.first; ed != NULL; ed = ed->next) {
		if (ed == m->display || ed == m->mch)
			continue;
		hv_domain_lock(ed->domain);
		dev_reset(ed->dev);
		hv_domain_unlock(ed->domain);
	}
}

/* The BIOS is told by the shutdown status in the CMOS memory, as by the firmware's own code for
 * sleep in other machines. */
static int wake_cpus(struct machine *m, struct err *e)
{
	hv_vm_reset_cpus(&m->vm);
	if (m->boot.store != NULL)
		return boot_wake(m, e);
	dm_rtc_set_byte(m->rtc->dev, CMOS_SHUTDOWN, SHUTDOWN_S3);
	return 0;
}

void machine_wake(struct machine *m)
{
	struct err e = { 0 };

	if (!m->asleep)
		return;
	const bool new_generation = generation_waits(m);
	wake_devices(m);
	hv_domain_lock(m->pm->domain);
	dm_pm_wake(m->pm->dev);
	hv_domain_unlock(m->pm->domain);
	if (new_generation)
		generation_tell(m);
	m->asleep = false;
	if (wake_cpus(m, &e) < 0) {
		m->running = false;
		emit(m, MACHINE_FAILED, 0, e.msg);
	} else if (m->running) {
		go(m);
	}
}

void machine_power_button(struct machine *m)
{
	hv_domain_lock(m->pm->domain);
	dm_pm_power_button(m->pm->dev);
	hv_domain_unlock(m->pm->domain);
}

void machine_nmi(struct machine *m)
{
	hv_vcpu_post_nmi(m->vm.vcpu[0]);
}

bool machine_key(struct machine *m, unsigned evdev_code, bool down)
{
	hv_domain_lock(m->i8042->domain);
	const bool taken = dm_i8042_key(m->i8042->dev, evdev_code, down);
	hv_domain_unlock(m->i8042->domain);
	return taken;
}

void machine_pointer_move(struct machine *m, int32_t dx, int32_t dy, int32_t wheel)
{
	hv_domain_lock(m->i8042->domain);
	dm_i8042_move(m->i8042->dev, dx, dy, wheel);
	hv_domain_unlock(m->i8042->domain);
}

void machine_pointer_button(struct machine *m, unsigned button, bool down)
{
	hv_domain_lock(m->i8042->domain);
	dm_i8042_button(m->i8042->dev, button, down);
	hv_domain_unlock(m->i8042->domain);
}

unsigned machine_leds(struct machine *m)
{
	hv_domain_lock(m->i8042->domain);
	const unsigned leds = dm_i8042_leds(m->i8042->dev);
	hv_domain_unlock(m->i8042->domain);
	return leds;
}

static void do_leds(void *ctx)
{
	emit(ctx, MACHINE_LEDS, 0, NULL);
}

bool machine_text(struct machine *m, struct disp_text *ret_text)
{
	return m->display != NULL && m->display_ops->text(m->display->dev, ret_text);
}

/* ---- what devices ask for ---- */

static void ask(struct machine *m, enum machine_ask what)
{
	m->asked |= what;
	loop_post(m->back.loop, &m->ask_work);
	if (m->config.deterministic)
		hv_vcpu_hold(m->vm.vcpu[0]); /* it gets no further until the loop has looked */
}

void machine_request(void *ctx, struct dev *d, enum dev_request what, uint32_t arg)
{
	struct machine *m = ctx;

	(void)d;
	switch (what) {
	case DEV_REQ_A20_ON:
	case DEV_REQ_A20_OFF:
		hv_vm_set_a20(&m->vm, what == DEV_REQ_A20_ON);
		return;
	case DEV_REQ_INIT_CPUS:
		for (unsigned i = 0; i < m->vm.n_vcpus; i++)
			hv_vcpu_post_init(m->vm.vcpu[i]);
		return;
	case DEV_REQ_NMI:
		hv_vcpu_post_nmi(m->vm.vcpu[0]);
		return;
	case DEV_REQ_LEDS:
		loop_post(m->back.loop, &m->leds_work);
		return;
	default:
		break;
	}
	pthread_mutex_lock(&m->ask_lock);
	if (what == DEV_REQ_EJECTED) {
		ask(m, ASK_EJECTED);
	} else if (what == DEV_REQ_RESET) {
		ask(m, ASK_RESET);
	} else if (what == DEV_REQ_POWER_OFF) {
		ask(m, ASK_POWER_OFF);
	} else if (what == DEV_REQ_SLEEP) {
		m->sleep_arg = arg;
		ask(m, ASK_SLEEP);
	} else if (!(m->asked & ASK_EXIT)) { /* the first counts */
		m->exit_arg = arg;
		ask(m, ASK_EXIT);
	}
	pthread_mutex_unlock(&m->ask_lock);
}

void machine_vm_event(void *ctx, struct hv_vcpu *v, enum hv_vm_event ev, const struct hv_exit *exit)
{
	struct machine *m = ctx;

	pthread_mutex_lock(&m->ask_lock);
	if (!(m->asked & ASK_VM)) { /* one at a time: the others meet it again */
		m->vm_event = ev;
		m->vm_vcpu = v;
		m->vm_exit = *exit;
		ask(m, ASK_VM);
	}
	pthread_mutex_unlock(&m->ask_lock);
}

/* The guest stopped for good or for someone to look: nothing runs when the event is told. */
static void stop_for_event(struct machine *m)
{
	struct hv_engine_stats stats;
	struct err e;

	if (machine_pause(m, &e) < 0)
		log_msg(LOG_LVL_ERROR, "machine", "cannot pause: %s", e.msg);
	if (m->config.digest_fd < 0)
		return;
	m->vm.engine->stats(m->vm.vcpu[0], &stats);
	hv_digest_write(m->vm.vcpu[0], stats.instructions, true);
}

static void do_vm_event(struct machine *m, enum hv_vm_event what, struct hv_vcpu *v,
			const struct hv_exit *exit)
{
	struct machine_event ev = { .vcpu = v, .exit = exit };
	struct x86_state s;
	char text[80];

	stop_for_event(m);
	if (what == HV_VM_DEBUG) {
		ev.kind = MACHINE_DEBUG_STOP;
	} else if (what == HV_VM_FAIL) {
		ev.kind = MACHINE_FAILED;
		ev.text = exit->fail.msg;
	} else {
		hv_vcpu_state_get(v, &s);
		snprintf(text, sizeof(text), "triple fault of CPU %u at %#x:%#llx", v->index,
			 s.seg[X86_CS].sel, (unsigned long long)s.rip);
		ev.kind = MACHINE_CRASHED;
		ev.text = text;
	}
	m->fn(m->ctx, &ev);
}

static void do_sleep(struct machine *m, uint32_t state)
{
	struct err e;

	if (state != 3) { /* S4 is for the guest's own image on disk: power off */
		stop_for_event(m);
		emit(m, MACHINE_POWERED_OFF, 0, NULL);
		return;
	}
	if (m->running && !m->asleep && halt(m, &e) < 0) {
		log_msg(LOG_LVL_ERROR, "machine", "cannot sleep: %s", e.msg);
		return;
	}
	m->asleep = true;
	emit(m, MACHINE_SLEEPING, state, NULL);
}

static void do_asked(void *ctx)
{
	struct machine *m = ctx;

	pthread_mutex_lock(&m->ask_lock);
	const unsigned asked = m->asked;
	const enum hv_vm_event vm_event = m->vm_event;
	struct hv_vcpu *vm_vcpu = m->vm_vcpu;
	const struct hv_exit vm_exit = m->vm_exit;
	const uint32_t sleep_arg = m->sleep_arg, exit_arg = m->exit_arg;
	m->asked = 0;
	pthread_mutex_unlock(&m->ask_lock);

	if (asked & ASK_EJECTED) /* before a reset, which closes the drives */
		emit(m, MACHINE_EJECTED, 0, NULL);
	/* The strongest wish wins: what comes after an end does not happen any more. */
	if (asked & ASK_EXIT) {
		stop_for_event(m);
		emit(m, MACHINE_DEBUG_EXIT, exit_arg, NULL);
	} else if ((asked & ASK_VM) && !((asked & ASK_RESET) && vm_event == HV_VM_SHUTDOWN)) {
		do_vm_event(m, vm_event, vm_vcpu, &vm_exit);
	} else if (asked & ASK_POWER_OFF) {
		stop_for_event(m);
		emit(m, MACHINE_POWERED_OFF, 0, NULL);
	} else if (asked & ASK_RESET) {
		machine_reset(m);
	} else if (asked & ASK_SLEEP) {
		do_sleep(m, sleep_arg);
	} else if (m->config.deterministic && m->running) { /* ask() holds it */
		hv_vm_run(&m->vm);
	}
}

/* ---- creation ---- */

static int check_config(const struct machine_config *c, struct err *e)
{
	if (c->deterministic && (c->n_cpus != 1 || c->state_fd >= 0))
		return err_set(e, -EINVAL,
			       "a deterministic machine has one CPU and starts from power-on");
	if (c->type != NULL && strcmp(c->type, "pc-1") != 0)
		return err_set(e, -EINVAL, "there is no machine type '%s' (there is: pc-1)",
			       c->type);
	if (c->ram_bytes % HV_MIB(1) != 0 || c->ram_bytes < RAM_MIN || c->ram_bytes > RAM_MAX)
		return err_set(e, -EINVAL, "memory is 1 MiB to %llu GiB in steps of 1 MiB",
			       (unsigned long long)(RAM_MAX >> 30));
	return 0;
}

static int make_ram(struct machine *m, const struct state_file *f, struct hv_ram **ret_ram,
		    struct err *e)
{
	const struct machine_config *c = &m->config;
	int r;

	if (f == NULL) {
		r = hv_ram_create(m->mem, "ram", HV_RAM_ANON, c->ram_bytes, -1, 0, ret_ram, e);
		return r == 0 && c->kernel != NULL
			       ? boot_store(&m->boot, m->mem, c->kernel_fd, c->kernel, c->initrd_fd,
					    c->initrd, c->append, e)
			       : r;
	}
	r = saved_ram(f, c->state_fd, m->mem, "ram", c->ram_bytes, ret_ram, e);
	if (r == 0 && state_file_ram(f, "boot") != NULL)
		r = saved_ram(f, c->state_fd, m->mem, "boot", 0, &m->boot.store, e);
	return r;
}

/* A timer was armed that the vCPU has to know about, if it sleeps. */
static void wake_cpu(void *ctx)
{
	struct machine *m = ctx;

	if (m->vm.n_vcpus > 0)
		hv_vcpu_request(m->vm.vcpu[0], 0);
}

static int make_memory(struct machine *m, const struct state_file *f, struct err *e)
{
	struct hv_ram *ram, *rom;
	int r = hv_mem_create(&m->mem, e);

	if (r == 0)
		r = hv_pio_create(&m->pio, e);
	if (r == 0)
		r = hv_clock_create(m->back.loop, &m->clock, e);
	if (r == 0 && m->config.deterministic)
		hv_clock_set_counted(m->clock, wake_cpu, m);
	if (r == 0)
		r = make_ram(m, f, &ram, e);
	if (r == 0)
		r = firmware_load(m, f, &rom, e);
	if (r == 0)
		r = display_load(m, f, e);
	if (r == 0)
		r = generation_load(m, f, e);
	if (r < 0)
		return r;
	memmap_init(&m->map, m->mem, ram, rom);
	if (m->config.stuck_ones == 0)
		return 0;
	return bad_page_place(&m->bad_page, m->mem, &m->domain[DOM_CHIPSET], m->config.stuck_gpa,
			      m->config.stuck_ones, e);
}

static int make_cpus(struct machine *m, const struct state_file *f, struct err *e)
{
	const struct machine_config *c = &m->config;
	const char *name = f != NULL ? m->saved_model : c->cpu_model;
	int r = c->deterministic ? cpu_model_get_repeatable(name, &m->model, e)
				 : cpu_model_get(name, c->n_cpus, &m->model, e);

	if (r == 0 && f != NULL)
		r = saved_cpu_model(f, m, e);
	if (r < 0)
		return r;
	m->vm.engine = hv_engine_find(c->engine);
	if (m->vm.engine == NULL)
		return err_set(e, -EINVAL, "there is no engine '%s'", c->engine);
	r = m->vm.engine->fit_model != NULL ? m->vm.engine->fit_model(&m->model, f != NULL, e) : 0;
	if (r < 0)
		return r;
	hv_clock_set_tsc_hz(m->clock, m->model.tsc_hz);
	m->vm.mem = m->mem;
	m->vm.pio = m->pio;
	m->vm.clock = m->clock;
	m->vm.model = &m->model;
	m->vm.on_event = machine_vm_event;
	m->vm.ctx = m;
	m->vm.opt.trace = c->trace_fd >= 0;
	m->vm.opt.trace_fd = c->trace_fd;
	m->vm.opt.translate = c->translate;
	m->vm.opt.translate_after = c->translate_after;
	m->vm.opt.perf_map = c->perf_map_fd >= 0;
	m->vm.opt.perf_map_fd = c->perf_map_fd;
	m->vm.opt.disable = c->engine_disable;
	m->vm.opt.count = c->count_insns || c->deterministic;
	m->vm.opt.deterministic = c->deterministic;
	m->vm.opt.digest_fd = c->digest_fd;
	m->vm.opt.digest_from = c->digest_from;
	m->vm.opt.digest_every = c->digest_every;
	m->vm.opt.digest_memory = c->digest_memory;
	return hv_vm_init(&m->vm, c->n_cpus, e);
}

static void make_domains(struct machine *m)
{
	static const char *const names[N_DOMAINS] = { "pci", "chipset", "lpc", "irqchip",
						      "rng", "ahci",	"ide", "display" };

	for (unsigned i = 0; i < N_DOMAINS; i++)
		hv_domain_init(&m->domain[i], names[i] != NULL ? names[i] : "disk");
	for (unsigned i = 0; i < N_ISA_LINES; i++)
		hv_irq_line_init(&m->isa[i]);
	for (unsigned i = 0; i < N_PIRQ_LINES; i++)
		hv_irq_line_init(&m->pirq[i]);
	hv_irq_line_init(&m->pic_intr);
	hv_irq_line_init(&m->pit_out);
	hv_irq_line_init(&m->rtc_out);
	pthread_mutex_init(&m->ask_lock, NULL);
	m->ask_work = (struct loop_work){ .fn = do_asked, .ctx = m };
	m->leds_work = (struct loop_work){ .fn = do_leds, .ctx = m };
}

static int start_disks(struct machine *m, struct err *e)
{
	int r = 0;

	if (m->config.deterministic)
		return 0; /* without threads, requests are done at once */
	for (unsigned i = 0; i < MACHINE_MAX_DISKS && r == 0; i++)
		if (m->back.disk[i].blk != NULL)
			r = blk_start(m->back.disk[i].blk, e);
	return r;
}

static int make_devices(struct machine *m, struct err *e)
{
	m->env.mem = m->mem;
	m->env.pio = m->pio;
	m->env.clock = m->clock;
	m->env.loop = m->back.loop;
	m->env.msi = &m->lapics.msi;
	m->env.bells = m->vm.engine->rings_bells;
	m->env.machine = (struct env_machine){ machine_request, q35_backend, m };
	rng_seeded_init(&m->rng, RNG_SEED);
	env_init(&m->env);
	const int r = start_disks(m, e);
	return r == 0 ? q35_build(m, e) : r;
}

void machine_destroy(struct machine *m)
{
	if (m == NULL)
		return;
	if (m->vm.n_vcpus > 0)
		hv_vm_stop(&m->vm);
	if (m->clock != NULL)
		hv_clock_stop(m->clock);
	env_finish(&m->env);
	hv_vm_finish(&m->vm);
	fwcfg_free(&m->fwcfg);
	hv_clock_destroy(m->clock);
	hv_pio_destroy(m->pio);
	hv_mem_destroy(m->mem);
	loop_unpost(m->back.loop, &m->ask_work);
	loop_unpost(m->back.loop, &m->leds_work);
	pthread_mutex_destroy(&m->ask_lock);
	hv_irq_line_finish(&m->rtc_out);
	hv_irq_line_finish(&m->pit_out);
	hv_irq_line_finish(&m->pic_intr);
	for (unsigned i = 0; i < N_PIRQ_LINES; i++)
		hv_irq_line_finish(&m->pirq[i]);
	for (unsigned i = 0; i < N_ISA_LINES; i++)
		hv_irq_line_finish(&m->isa[i]);
	for (unsigned i = 0; i < N_DOMAINS; i++)
		hv_domain_finish(&m->domain[i]);
	free(m);
}

static void machine_destroyp(struct machine **m)
{
	machine_destroy(*m);
}

/* A kernel that cannot be started shows here: it was only stored so far. */
static int first_power_on(struct machine *m, struct err *e)
{
	const int r = machine_power_on(m, e);

	return r < 0 && m->config.kernel != NULL
		       ? err_prefix(e, "cannot start '%.100s'", m->config.kernel)
		       : r;
}

/* As it is now: a guest moves its clock by itself when summer time begins. */
static int32_t local_offset_sec(void)
{
	const time_t now = time(NULL);
	struct tm tm;

	return localtime_r(&now, &tm) != NULL ? (int32_t)tm.tm_gmtoff : 0;
}

static int create(struct machine *m, const struct state_file *f, struct err *e)
{
	int r = f != NULL ? saved_config(f, m, e) : 0;

	if (r == 0)
		r = check_config(&m->config, e);
	if (r == 0)
		r = make_memory(m, f, e);
	if (r == 0)
		r = make_cpus(m, f, e);
	if (r == 0)
		r = make_devices(m, e);
	if (r == 0 && f == NULL && m->config.rtc_local)
		dm_rtc_set_utc_offset(m->rtc->dev, local_offset_sec());
	if (r == 0)
		r = f != NULL ? saved_load(m, f, e) : first_power_on(m, e);
	if (r == 0 && m->new_generation)
		generation_tell(m);
	return r;
}

static int create_saved(struct machine *m, struct err *e)
{
	struct state_file *f;
	int r = state_file_open(m->config.state_fd, &f, e);

	if (r == 0) {
		r = create(m, f, e);
		state_file_close(f);
	}
	if (r < 0 && m->config.state_file != NULL)
		err_prefix(e, "cannot continue '%s'", m->config.state_file);
	return r;
}

int machine_create(const struct machine_config *c, const struct machine_backends *b,
		   machine_event_fn fn, void *ctx, struct machine **ret_machine, struct err *e)
{
	struct machine *m __attribute__((cleanup(machine_destroyp))) = calloc(1, sizeof(*m));
	if (m == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	m->config = *c;
	m->back = *b;
	m->fn = fn;
	m->ctx = ctx;
	make_domains(m);
	const int r = c->state_fd >= 0 ? create_saved(m, e) : create(m, NULL, e);
	if (r < 0)
		return r;
	*ret_machine = TAKE_PTR(m);
	return 0;
}
