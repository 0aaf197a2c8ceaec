/* The floppy controller's own struct, between its files: fdc.c (registers, phases), commands.c
 * (what has no data), transfer.c (what has). */
#ifndef DEVMODEL_STORAGE_CTRL_FDC_INT_H
#define DEVMODEL_STORAGE_CTRL_FDC_INT_H
#include <stdatomic.h>
#include "base/util.h"
#include "devmodel/chipset/isa_dma.h"
#include "devmodel/storage/ctrl/fdc/fdc.h"
#include "devmodel/storage/floppy.h"

#define FDC_UNITS 4 /* the chip's; drives are at the first of them */
#define FDC_CMD_MAX 9
#define FDC_RESULT_MAX 10

enum { FDC_DOR_SELECT = 3, FDC_DOR_RUN = 4, FDC_DOR_GATE = 8, FDC_DOR_MOTOR = 0x10 };
enum { FDC_CONFIG_EIS = 0x40, FDC_CONFIG_NO_FIFO = 0x20, FDC_CONFIG_NO_POLL = 0x10 };
enum { FDC_CMD_MT = 0x80, FDC_CMD_MFM = 0x40, FDC_CMD_SK = 0x20 };
enum {
	ST0_INVALID = 0x80,
	ST0_POLLED = 0xc0,
	ST0_ABNORMAL = 0x40,
	ST0_SEEK_END = 0x20,
	ST0_NO_TRACK0 = 0x10
};
enum { ST1_END = 0x80, ST1_DATA = 0x20, ST1_OVERRUN = 0x10, ST1_NO_SECTOR = 4, ST1_PROTECTED = 2 };
enum { ST1_NO_MARK = 1 };
enum { ST2_MARK = 0x40, ST2_DATA = 0x20, ST2_CYLINDER = 0x10, ST2_EQUAL = 8, ST2_UNLIKE = 4 };

enum fdc_phase { FDC_COMMAND, FDC_EXECUTE, FDC_RESULT, FDC_N_PHASES };
/* What execution waits for. FDC_IO is never saved. */
enum fdc_step { FDC_NOTHING, FDC_DISK, FDC_HOST, FDC_IO, FDC_N_STEPS };
enum fdc_seek { FDC_STILL, FDC_SEEKING, FDC_RECALIBRATING, FDC_ARRIVED, FDC_N_SEEKS };
enum { TIMER_EXEC, TIMER_SEEK, TIMER_POLL, FDC_N_TIMERS };

STATE_LAYOUT_BEGIN
struct fdc_unit_state {
	uint64_t seek_ns; /* virtual time of arrival, while seeking */
	int32_t steps;	  /* what the head still has to go */
	uint8_t target;	  /* cylinder number on arrival */
	uint8_t pcn;	  /* the chip's idea of the cylinder */
	uint8_t pos;	  /* where the head is */
	uint8_t seek;	  /* enum fdc_seek */
	uint8_t st0;	  /* on arrival */
	bool changed;	  /* the drive's disk change line */
	uint8_t pad_[6];
};
struct fdc_state {
	struct fdc_unit_state unit[FDC_UNITS];
	uint64_t exec_ns, poll_ns; /* virtual time, or DEV_TIMER_OFF */
	uint8_t dor, rate, precomp, tape;
	uint8_t specify[2], config, pretrk; /* registers that commands set */
	bool lock;
	uint8_t perpendicular;
	uint8_t eot;	/* as DUMPREG shows it: the last command's */
	uint8_t polled; /* units whose change after a reset was not sensed yet */
	bool irq;
	uint8_t phase, step; /* enums */
	uint8_t cmd[FDC_CMD_MAX], n_cmd;
	uint8_t result[FDC_RESULT_MAX], n_result, result_at;
	/* a command with data: where it is, and what it found so far */
	uint8_t c, h, r, head, left;
	uint8_t st0, st1, st2;
	uint8_t buf[FLOPPY_SECTOR_BYTES]; /* between disk and host */
	bool tc;			  /* the DMA controller's count is over */
	uint16_t buf_at, buf_len;	  /* the host's place in buf */
	uint8_t pad_[6];
};
STATE_LAYOUT_END

struct fdc_drive {
	enum floppy_drive type;
	struct blk *blk; /* borrowed; NULL: empty */
	const struct floppy_format *format;
};

struct fdc {
	struct dev dev;
	struct fdc_state s;
	uint32_t drive0, drive1; /* options */
	struct fdc_drive drive[FDC_N_DRIVES];
	const struct isa_dma *dma; /* borrowed */
	/* under the domain */
	bool io_busy;	/* io is under way; execution waits for it, unless step says otherwise */
	bool io_wanted; /* what is under way has been given up: another begins when it has ended */
	struct blk *io_blk; /* borrowed; of what is under way */
	struct fdc_want {
		struct blk *blk; /* borrowed */
		enum blk_op op;
		uint64_t offset;
	} want;
	struct dev_work work;
	/* the request's, while it is under way */
	struct blk_req io;
	uint8_t io_buf[FLOPPY_SECTOR_BYTES];
	int io_result;
	atomic_bool io_ended;
};

static inline struct fdc *fdc_from_dev(struct dev *d)
{
	assert(d->cls == &dm_fdc);
	return (struct fdc *)d;
}

/* The drive that the DOR selects; NULL: there is none. */
static inline struct fdc_drive *fdc_selected(struct fdc *f)
{
	const unsigned i = f->s.dor & FDC_DOR_SELECT;

	return i < FDC_N_DRIVES && f->drive[i].type != FLOPPY_DRIVE_NONE ? &f->drive[i] : NULL;
}

/* fdc.c */
void fdc_interrupt(struct fdc *f, bool on);
void fdc_wait_disk(struct fdc *f, uint64_t ns); /* execution goes on in fdc_disk_due() */
/* The result phase; interrupt: for commands that had an execution phase. */
void fdc_answer(struct fdc *f, const uint8_t *result, unsigned n, bool interrupt);
/* A sector of the image, to or from io_buf; goes on in fdc_io_ended(). */
void fdc_submit(struct fdc *f, struct blk *b, enum blk_op op, uint64_t offset);

/* commands.c */
unsigned fdc_command_bytes(uint8_t first); /* with the first */
void fdc_execute(struct fdc *f);	   /* all bytes of a command are there */
void fdc_seek_due(struct fdc *f);
uint64_t fdc_next_seek_ns(const struct fdc *f);
/* Moves the head of the selected drive; what the drive notices of it. */
void fdc_move_head(struct fdc *f, int steps);
#define FDC_STEP_NS 20000u	/* a cylinder */
#define FDC_SETTLE_NS 100000u	/* a seek, besides */
#define FDC_ROTATION_NS 100000u /* until the first sector comes */
#define FDC_SECTOR_NS 20000u	/* until the next */

/* transfer.c */
void fdc_transfer(struct fdc *f);	       /* a command with data begins */
void fdc_disk_due(struct fdc *f);	       /* its sector is under the head */
void fdc_io_ended(struct fdc *f, int result);  /* the image has answered */
void fdc_host_wrote(struct fdc *f, uint8_t v); /* without DMA */
uint8_t fdc_host_reads(struct fdc *f);
bool fdc_to_host(const struct fdc *f); /* which way the data of the command go */
bool fdc_has_dma(const struct fdc *f);
void fdc_disk_pulled(struct fdc *f); /* what the command was reading or writing is gone */
/* Can a saved state be in the middle of this command? */
bool fdc_is_transfer(uint8_t first);
#endif
