/*
 * An ATA disk or ATAPI CD/DVD drive, without the registers that a host controller puts before it:
 * AHCI and IDE each hand over commands as task files and move data their way. All under the
 * controller's lock domain, but for what blk calls.
 *
 * Specification: ATA/ATAPI-8 Command Set (ATA8-ACS, T13/1699-D) and ATA-5 for what older systems
 * use; Serial ATA 3.1, 13.6 (queued commands); MMC-5 and SPC-3 for the CD drive.
 */
#ifndef DEVMODEL_STORAGE_CTRL_ATA_ATA_H
#define DEVMODEL_STORAGE_CTRL_ATA_ATA_H
#include <stdatomic.h>
#include "devmodel/dev.h"
#include "devmodel/storage/blk.h"
#include "devmodel/storage/ctrl/ata/sg.h"
#include "state/state.h"

#define ATA_SECTOR 512u
#define ATA_BUF_BYTES 8192u
#define ATA_CDB_BYTES 12u

enum { /* status register */
       ATA_BSY = 0x80,
       ATA_DRDY = 0x40,
       ATA_DF = 0x20,
       ATA_DSC = 0x10,
       ATA_DRQ = 0x08,
       ATA_ERR = 0x01,
};
enum { /* error register */
       ATA_UNC = 0x40,
       ATA_IDNF = 0x10,
       ATA_ABRT = 0x04,
};
enum { /* commands that controllers treat in their own way */
       ATA_CMD_DEVICE_RESET = 0x08,
       ATA_CMD_READ_QUEUED = 0x60,
       ATA_CMD_WRITE_QUEUED = 0x61,
       ATA_CMD_DIAGNOSTIC = 0x90,
       ATA_CMD_PACKET = 0xa0,
};
/* A packet command's count register: what the data are, and which way they go. */
enum { ATA_REASON_CDB = 1, ATA_REASON_TO_HOST = 2 };

enum ata_kind { ATA_NONE, ATA_DISK, ATA_CD };

enum ata_dir { ATA_DIR_NONE, ATA_DIR_IN, ATA_DIR_OUT };

/* What a command waits for. */
enum ata_phase {
	ATA_IDLE,
	ATA_WORKING,  /* the drive itself */
	ATA_DATA_IN,  /* the host takes buf[at .. stop) by PIO, then ata_pio_end() */
	ATA_DATA_OUT, /* the host fills buf[at .. stop) by PIO, then ata_pio_end() */
	ATA_DMA_WAIT, /* the controller calls ata_dma() */
};

/* The task file: of a command what the host wrote, later what the drive answers. lba, count and
 * feature hold the current register in their lower half, the previous one in the upper. */
STATE_LAYOUT_BEGIN
struct ata_cmd_state {
	uint64_t lba;
	uint64_t pos, left; /* bytes on the medium that are still to move */
	uint32_t len, at, stop;
	uint32_t unit; /* PIO: bytes from one interrupt to the next */
	uint16_t feature, count;
	uint8_t device, command, status, error;
	uint8_t phase;	/* enum ata_phase */
	uint8_t dir;	/* enum ata_dir */
	uint8_t medium; /* the data are the medium's, not a reply or parameters */
	uint8_t dma;
	uint8_t raw;	/* READ CD: which parts of a sector */
	uint8_t packet; /* 1: the CDB is still to come */
	uint8_t began;	/* data have been asked for before */
	uint8_t gone;	/* the medium was taken out meanwhile */
	uint8_t flush;	/* afterwards */
	uint8_t pad_[3];
	uint8_t cdb[ATA_CDB_BYTES];
};

struct ata_drive_state {
	/* the queued command that failed: log page 10h */
	uint64_t ncq_lba;
	uint16_t ncq_count;
	uint8_t ncq_failed, ncq_tag, ncq_status, ncq_error, ncq_device;
	/* disk */
	uint8_t heads, sectors; /* translation in use */
	uint8_t multiple;	/* sectors of READ MULTIPLE; 0: not set */
	uint16_t cylinders;
	uint8_t xfer; /* SET FEATURES 03h */
	uint8_t write_cache, look_ahead, smart;
	uint8_t power; /* as CHECK POWER MODE answers */
	/* CD */
	uint8_t key, asc, ascq; /* of the last command */
	uint8_t attention;	/* enum ata_attention */
	uint8_t tray_open, locked;
	uint8_t event;		   /* of the medium, to be told by GET EVENT STATUS NOTIFICATION */
	uint8_t recovery, retries; /* mode page 1 */
	uint8_t pad_[6];
};
STATE_LAYOUT_END
extern const struct state_desc ata_cmd_state_desc, ata_drive_state_desc;

struct ata_drive;

struct ata_cmd {
	/* constant after creation */
	struct ata_drive *drive;
	struct ata_cmd_state *s; /* borrowed */
	uint8_t *buf;		 /* borrowed: ATA_BUF_BYTES */
	unsigned slot;		 /* the controller's */
	/* under the domain */
	bool has_sg; /* sg is where data are to go; set by the controller */
	struct ata_sg sg;
	uint64_t moved; /* bytes by way of sg */
	bool io_busy;	/* io is under way, or on the done list */
	bool stale;	/* and nobody waits for it */
	bool direct;	/* to guest memory, at gpa */
	struct blk_req io;
	uint64_t gpa[BLK_MAX_IOV];
	struct blk *on;	   /* borrowed: who has io */
	_Atomic bool away; /* and still does */
	/* by the I/O thread, until it is on the done list */
	int result;
	struct ata_cmd *next;
};

/* What a controller does for its drives. Domain held. */
struct ata_host_ops {
	/* The phase is DATA_IN, DATA_OUT or DMA_WAIT. */
	void (*data)(struct ata_cmd *c);
	/* The command has ended: status and error are set, the phase is IDLE. */
	void (*done)(struct ata_cmd *c);
	/* sg has come to its end before the data: has_sg is false, the phase DMA_WAIT. */
	void (*sg_short)(struct ata_cmd *c);
	/* Whether guest memory may be touched now. */
	bool (*may_dma)(struct ata_cmd *c);
	/* A stale command's request has come back. */
	void (*released)(struct ata_cmd *c);
};

/* The controller's end of its drives' I/O. */
struct ata_host {
	struct dev *dev;
	const struct ata_host_ops *ops;
	struct dev_work work; /* its fn is the controller's: calls ata_take_done() */
	unsigned n_busy;
	_Atomic(struct ata_cmd *) done; /* any thread */
};

struct ata_drive {
	enum ata_kind kind;
	bool sata;
	struct ata_host *host;	   /* borrowed */
	struct ata_drive_state *s; /* borrowed */
	struct blk *blk;	   /* borrowed; NULL: no medium (CD), or no drive */
	unsigned unit;
	unsigned number; /* in the serial number */
};

/* Options of a controller say what is attached: "disk NAME", "cdrom NAME" (NAME of a
 * DEV_BACKEND_BLK that may be missing) or "" (nothing). In realize. */
int ata_drive_attach(struct ata_drive *a, struct ata_host *h, const char *what,
		     struct err *e) HV_MUST_CHECK;
void ata_drive_state_init(struct ata_drive_state *s);
int ata_drive_post_load(const struct ata_drive_state *s, struct err *e) HV_MUST_CHECK;
/* What is not the hardware's constant follows the drive: geometry after power-on. */
void ata_drive_power_on(struct ata_drive *a);
/* The signature that a reset leaves in the task file. */
void ata_signature(const struct ata_drive *a, struct ata_cmd_state *s);

/* A command: s holds the task file; with has_sg all data go by sg, else by PIO or, if the command
 * says DMA, when ata_dma() is called. have_cdb: s->cdb holds the packet. Ends in ops->done. */
void ata_start(struct ata_cmd *c, bool have_cdb);
void ata_pio_end(struct ata_cmd *c); /* buf[at .. stop) was taken or filled: at is stop */
void ata_dma(struct ata_cmd *c);     /* in DMA_WAIT, has_sg and sg are set */
/* Forgets a command; its request, if any, goes on: ops->released. */
void ata_abort(struct ata_cmd *c);
int ata_cmd_post_load(const struct ata_cmd_state *s, struct err *e) HV_MUST_CHECK;
void ata_cmd_init(struct ata_cmd *c, struct ata_drive *a, struct ata_cmd_state *s, uint8_t *buf,
		  unsigned slot);

/* Goes on with what I/O threads have finished. */
void ata_take_done(struct ata_host *h);
/* Waits for the command's request; then ata_take_done() is due. -ENOSPC: it has to wait longer
 * (blk_settle()). Loop thread. */
int ata_cmd_settle(struct ata_cmd *c) HV_MUST_CHECK;
/* In unrealize, before anything is freed: no thread is in the drive's commands any more. */
void ata_drive_drain(struct ata_drive *a);

/* For media_ops. Each command that may be under way is told first. */
bool ata_media_out(const struct ata_drive *a);
void ata_media_asked(struct ata_drive *a);
void ata_media_gone(struct ata_cmd *c);
void ata_media_change(struct ata_drive *a, struct blk *medium);
#endif
