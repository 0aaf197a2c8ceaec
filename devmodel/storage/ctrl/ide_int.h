/* Between the IDE controller (ide.c) and its channels (ide_channel.c). */
#ifndef DEVMODEL_STORAGE_CTRL_IDE_INT_H
#define DEVMODEL_STORAGE_CTRL_IDE_INT_H
#include "base/util.h"
#include "devmodel/storage/ctrl/ata/ata.h"
#include "devmodel/storage/ctrl/ide.h"

#define IDE_CHANNELS 2
#define IDE_WHAT_MAX 31

enum { /* bus master: command, status */
       BM_START = 0x01,
       BM_TO_MEMORY = 0x08,
       BM_ACTIVE = 0x01,
       BM_ERROR = 0x02,
       BM_IRQ = 0x04,
       BM_DRIVES = 0x60, /* software's notes */
};
enum { CONTROL_NIEN = 2, CONTROL_SRST = 4, CONTROL_HOB = 0x80 };
#define SELECT_SLAVE 0x10u

STATE_LAYOUT_BEGIN
/* Registers of a drive: [0] and lba[0 .. 2] are the current ones, the rest what was before. */
struct ide_drive_state {
	uint8_t feature[2], count[2], lba[6];
	uint8_t device, status, error;
	uint8_t irq;	   /* wants one */
	uint8_t resetting; /* until requests of before have come back */
	uint8_t pad_[1];
	struct ata_drive_state drive;
	struct ata_cmd_state cmd;
	uint8_t buf[ATA_BUF_BYTES];
};

struct ide_channel_state {
	uint32_t bm_table;
	uint8_t bm_cmd, bm_status;
	uint8_t control, select;
	uint8_t line; /* level */
	uint8_t pad_[7];
	struct ide_drive_state drive[2];
};

struct ide_state {
	struct pci_state pci;
	struct ide_channel_state channel[IDE_CHANNELS];
};
STATE_LAYOUT_END

struct ide;

struct ide_drive {
	struct ata_drive drive;
	struct ata_cmd cmd;
	struct ide_drive_state *s;   /* borrowed */
	struct ide_channel *channel; /* borrowed */
};

struct ide_channel {
	struct ide *ide; /* borrowed */
	unsigned n;
	struct ide_channel_state *s; /* borrowed */
	struct ide_drive drive[2];
};

struct ide {
	struct pci_dev pci;
	char drive0[IDE_WHAT_MAX + 1], drive1[IDE_WHAT_MAX + 1];
	char drive2[IDE_WHAT_MAX + 1], drive3[IDE_WHAT_MAX + 1];
	struct ata_host host;
	struct ide_channel channel[IDE_CHANNELS];
	struct ide_state s;
};

/* ide_channel.c */
extern const struct ata_host_ops ide_host_ops;
extern const struct state_desc ide_channel_state_desc;
int ide_channel_create(struct ide_channel *ch, const char *const what[2],
		       struct err *e) HV_MUST_CHECK;
int ide_channel_settle(struct ide_channel *ch) HV_MUST_CHECK; /* ata_cmd_settle() of both */
void ide_channel_state_init(struct ide_channel_state *s);
int ide_channel_post_load(const struct ide_channel_state *s, struct err *e) HV_MUST_CHECK;
void ide_channel_reset(struct ide_channel *ch);	 /* power-on */
void ide_channel_resume(struct ide_channel *ch); /* also: the function has become bus master */
uint32_t ide_command_read(struct ide_channel *ch, unsigned off, unsigned size);
void ide_command_write(struct ide_channel *ch, unsigned off, unsigned size, uint32_t v);
uint8_t ide_alternate_status(const struct ide_channel *ch);
void ide_control_write(struct ide_channel *ch, uint8_t v);
uint8_t ide_bm_read(const struct ide_channel *ch, unsigned off);
void ide_bm_write(struct ide_channel *ch, unsigned off, uint8_t v);
#endif
