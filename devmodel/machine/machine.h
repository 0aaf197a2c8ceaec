/*
 * The machine: a PC of type pc-1 (Q35 + ICH9) put together from the device models, with guest
 * memory, CPUs and clock. A library: programs and tests create one from a configuration and
 * back-ends. Everything here is called in the loop thread.
 */
#ifndef DEVMODEL_MACHINE_H
#define DEVMODEL_MACHINE_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/loop.h"
#include "cpu/vcpu.h"
#include "devmodel/chipset/chr.h"
#include "devmodel/dev.h"
#include "devmodel/display/display.h"
#include "devmodel/storage/blk.h"
#include "devmodel/storage/floppy.h"

struct machine;
struct state_writer;

#define MACHINE_MAX_SERIAL 4
#define MACHINE_MAX_DISKS 8

/* How a drive is attached; SATA and IDE drives may be CD drives, whose medium may be missing. */
enum machine_bus {
	MACHINE_BUS_VIRTIO,
	MACHINE_BUS_AHCI,
	MACHINE_BUS_IDE,
	MACHINE_BUS_FLOPPY,
};

enum machine_display { MACHINE_DISPLAY_NONE, MACHINE_DISPLAY_VGA };

#define MACHINE_GENERATION_BYTES 16

/* Values only; copied. Strings are borrowed for the time of machine_create(). */
struct machine_config {
	const char *type;   /* "pc-1" */
	const char *engine; /* "soft", "kvm", "null"; resolved, not "auto" */
	const char *cpu_model;
	unsigned n_cpus;
	uint64_t ram_bytes; /* a multiple of 1 MiB */
	bool translate;	    /* engine soft: translator, and after how many runs of a block */
	uint32_t translate_after;
	uint32_t engine_disable;
	bool count_insns; /* the engine counts instructions, which takes time */
	/* One CPU, engine soft, power on: the same machine does the same in every run. The rest as
	 * in hv_engine_options; digest_fd -1: no digests */
	bool deterministic;
	int digest_fd;
	uint64_t digest_from, digest_every;
	uint32_t digest_memory;
	int trace_fd;	 /* -1: none */
	int perf_map_fd; /* engine soft: where perf looks for the names of code; -1: none */
	bool rtc_local;	 /* power on: the clock chip shows the host's local time, not UTC */
	uint16_t debug_exit_port; /* 0: none */
	uint64_t stuck_gpa;	  /* of a byte of RAM whose bits stuck_ones always read as ones; */
	uint8_t stuck_ones;	  /* 0: none */
	/* The VM generation ID, as it lies in memory: another one than when the state was saved
	 * tells the guest that it is a copy, or back at an earlier time. */
	uint8_t generation[MACHINE_GENERATION_BYTES];
	/* What starts at power-on, unless a kernel is given; the CPUs find it at the reset vector.
	 * NULL: nothing is there. A saved state brings its own. */
	const char *firmware;
	int firmware_fd;	      /* open file, with firmware; borrowed for the call */
	enum machine_display display; /* a saved state knows itself */
	const char *vga_bios;	      /* of the display; NULL: none, for direct boot */
	int vga_bios_fd;	      /* open file, with vga_bios; borrowed for the call */
	/* The BIOS shows its boot menu for that long; 0: not at all. How long it waits when nothing
	 * boots until it tries again; UINT32_MAX: for ever. */
	uint16_t boot_menu_ms;
	uint32_t boot_fail_ms;
	const char *option_rom; /* more code for the BIOS to run; NULL: none */
	int option_rom_fd;	/* open file, with option_rom; borrowed for the call */
	/* direct boot; kernel NULL: none */
	const char *kernel, *initrd, *append;
	int kernel_fd, initrd_fd; /* open files; -1: none; borrowed for the call */
	const char *state_file;	  /* for messages, with state_fd */
	int state_fd; /* -1: power on; else a saved state to continue (must stay open) */
};

/* Borrowed, outlive the machine. Missing ones (NULL) are replaced by null back-ends. */
struct machine_backends {
	struct loop *loop;
	struct chr *serial[MACHINE_MAX_SERIAL];
	struct chr *debugcon; /* ports 0x402 and 0xe9 */
	/* Drives in the order of their numbers on their bus. machine_create() starts the blks. A
	 * drive with a removable medium is there without one, too; see machine_has_drive(). */
	struct {
		struct blk *blk; /* NULL: no medium */
		const char *name;
		enum machine_bus bus;
		bool cdrom; /* on AHCI and IDE */
		/* floppy: drive 0 or 1, and its kind; NONE: the usual one for its first disk */
		uint8_t unit;
		enum floppy_drive floppy;
	} disk[MACHINE_MAX_DISKS];
	/* Places in disk, in the order in which firmware tries to boot from them; n_boot 0: as they
	 * are. Drives that are not in it come last. */
	uint8_t boot[MACHINE_MAX_DISKS];
	unsigned n_boot;
};

/* Its medium may be missing, and be changed while the machine runs. */
static inline bool machine_drive_removable(const struct machine_backends *b, unsigned i)
{
	return b->disk[i].cdrom || b->disk[i].bus == MACHINE_BUS_FLOPPY;
}
static inline bool machine_has_drive(const struct machine_backends *b, unsigned i)
{
	return b->disk[i].blk != NULL || machine_drive_removable(b, i);
}

enum machine_event_kind {
	MACHINE_POWERED_OFF, /* by the guest */
	MACHINE_RESET,	     /* already done; for information */
	MACHINE_SLEEPING,    /* S3: paused until machine_wake() */
	MACHINE_DEBUG_EXIT,  /* arg: the byte */
	MACHINE_CRASHED,     /* triple fault; text says where */
	MACHINE_FAILED,	     /* the engine cannot go on; text says why */
	MACHINE_LEDS,	     /* the guest has set the keyboard's lights; machine_leds() */
	MACHINE_EJECTED,     /* the guest has opened a drive; machine_media_out() */
	MACHINE_DEBUG_STOP,  /* a debugger's stop; vcpu and exit are set */
};
struct machine_event {
	enum machine_event_kind kind;
	uint32_t arg;
	const char *text;
	struct hv_vcpu *vcpu;
	const struct hv_exit *exit;
};
typedef void (*machine_event_fn)(void *ctx, const struct machine_event *ev); /* loop thread */

/* On failure nothing is left behind. The machine is created paused. */
int machine_create(const struct machine_config *c, const struct machine_backends *b,
		   machine_event_fn fn, void *ctx, struct machine **ret_machine,
		   struct err *e) HV_MUST_CHECK;
void machine_destroy(struct machine *m); /* NULL is fine */

int machine_run(struct machine *m, struct err *e) HV_MUST_CHECK;   /* start or continue */
int machine_pause(struct machine *m, struct err *e) HV_MUST_CHECK; /* vCPUs stop, devices quiesce */
bool machine_running(const struct machine *m);
/*
 * A disk waits for room on the host (storage/live.h): the vCPUs stand still, devices and disks do
 * not, until machine_release(). Pausing fails with -ENOSPC as long as it waits, and holds, too; a
 * reset has the request fail. release: -ENOSPC: it still waits. Twice is once; of a machine that
 * does not run nothing happens.
 */
void machine_hold(struct machine *m);
int machine_release(struct machine *m, struct err *e) HV_MUST_CHECK;
/* In S3, also when a machine that slept was loaded; running then means that machine_wake() does. */
bool machine_asleep(const struct machine *m);
void machine_reset(struct machine *m);	      /* power-on state; keeps running or paused */
void machine_power_button(struct machine *m); /* ACPI press */
void machine_wake(struct machine *m);	      /* from S3 */
void machine_nmi(struct machine *m);
/* What the user types and points with, as in input/i8042.h. False: the keyboard has no room. */
bool machine_key(struct machine *m, unsigned evdev_code, bool down);
void machine_pointer_move(struct machine *m, int32_t dx, int32_t dy, int32_t wheel);
void machine_pointer_button(struct machine *m, unsigned button, bool down);

/*
 * Media of a removable drive (its place in machine_backends.disk), while the machine runs or not.
 * insert: takes out what is there, puts medium in (borrowed until it is taken out; started here)
 * and closes the tray. eject: takes out what is there. -ENOENT: no such drive; -EBUSY: the guest
 * has locked it, and now knows that the user wants it; force heeds no lock. On success *ret_old,
 * which the machine has done with, is the caller's again; NULL: it was empty. Loop thread; may
 * block.
 */
int machine_media_insert(struct machine *m, unsigned drive, struct blk *medium, bool force,
			 struct blk **ret_old, struct err *e) HV_MUST_CHECK;
int machine_media_eject(struct machine *m, unsigned drive, bool force, struct blk **ret_old,
			struct err *e) HV_MUST_CHECK;
/* The guest has opened that drive, and its medium lies there: the guest may still take it in again,
 * machine_media_eject() takes it away. */
bool machine_media_out(struct machine *m, unsigned drive);
/* What is in the drive, or NULL. */
struct blk *machine_medium(const struct machine *m, unsigned drive);

/* The keyboard's lights: bit 0 scroll lock, 1 num lock, 2 caps lock. */
unsigned machine_leds(struct machine *m);

/* The screen, as in display/display.h; loop thread. False: the machine has none (draw), or it shows
 * no text (text). */
bool machine_draw(struct machine *m, struct disp_picture *p, bool all);
/* fn: the guest has written something that may be on the screen; once after each draw. Any thread,
 * domains may be held: must not block. Before the machine runs; a reset is not told. */
void machine_watch_screen(struct machine *m, void (*fn)(void *ctx), void *ctx);
bool machine_text(struct machine *m, struct disp_text *ret_text);

/* While paused: writes the whole state (container, then RAM page-aligned) to fd, from offset 0. */
int machine_save(struct machine *m, int fd, struct err *e) HV_MUST_CHECK;
/*
 * The same in two steps. The first, while paused, writes all but memory; the second, which frees w,
 * may be a forked child's, while the machine runs on: it writes memory as that process has it;
 * state_writer_destroy() instead. ret_bytes: how long the file will be, about.
 */
int machine_save_begin(struct machine *m, int fd, struct state_writer **ret_writer,
		       uint64_t *ret_bytes, struct err *e) HV_MUST_CHECK;
int machine_save_end(struct machine *m, struct state_writer *w, struct err *e) HV_MUST_CHECK;
/* What keeps the machine from being saved, or NULL; ask before pausing. */
const char *machine_cannot_save(const struct machine *m);

struct hv_vm *machine_vm(struct machine *m); /* for the debugger and statistics */
/* Calls fn for every device, in the order of creation. */
void machine_each_dev(struct machine *m, void (*fn)(void *ctx, struct dev *d), void *ctx);
#endif
