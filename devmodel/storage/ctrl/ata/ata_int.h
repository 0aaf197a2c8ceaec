/* Between the engine (ata.c), which moves data, and the commands of disk and CD drive. */
#ifndef DEVMODEL_STORAGE_CTRL_ATA_ATA_INT_H
#define DEVMODEL_STORAGE_CTRL_ATA_ATA_INT_H
#include "base/util.h"
#include "devmodel/storage/ctrl/ata/ata.h"

#define CD_BLOCK 2048u
#define CD_RAW_BLOCK 2352u

enum ata_attention { ATA_UA_NONE, ATA_UA_POWER_ON, ATA_UA_CHANGED };
enum { ATA_EVENT_NONE, ATA_EVENT_EJECT_REQUEST, ATA_EVENT_NEW, ATA_EVENT_REMOVED };
enum { ATA_POWER_STANDBY = 0, ATA_POWER_IDLE = 0x80, ATA_POWER_ACTIVE = 0xff };
#define ATA_MULTIPLE_MAX 16u

/* ---- ata.c: each ends the decoding of a command ---- */
void ata_ok(struct ata_cmd *c);
void ata_fail(struct ata_cmd *c, uint8_t error);
/* buf holds len bytes for the host. */
void ata_reply(struct ata_cmd *c, uint32_t len);
/* The host sends len bytes (at most ATA_BUF_BYTES), then the kind's received() is called. */
void ata_want(struct ata_cmd *c, uint32_t len);
/* Data of the medium: bytes from pos. unit as in the state. */
void ata_read(struct ata_cmd *c, uint64_t pos, uint64_t bytes);
void ata_write(struct ata_cmd *c, uint64_t pos, uint64_t bytes);
/* A request without data; then the kind's worked() is called. */
void ata_work(struct ata_cmd *c, enum blk_op op, uint64_t offset, uint64_t bytes);

/* ---- disk.c ---- */
void ata_disk_start(struct ata_cmd *c);
void ata_disk_received(struct ata_cmd *c);
void ata_disk_worked(struct ata_cmd *c);
void ata_disk_io_failed(struct ata_cmd *c, int result);
uint64_t ata_disk_sectors(const struct ata_drive *a);
/* Default translation, as IDENTIFY's words 1, 3 and 6 say. */
void ata_disk_geometry(const struct ata_drive *a, uint16_t *cyl, uint8_t *heads, uint8_t *sectors);

/* ---- pages.c: what drives say of themselves; each fills 512 bytes of p ---- */
void ata_identify_disk(const struct ata_drive *a, uint8_t *p);
void ata_identify_packet(const struct ata_drive *a, uint8_t *p);
void ata_smart_data(uint8_t *p);
void ata_smart_thresholds(uint8_t *p);
bool ata_smart_log(uint8_t page, uint8_t *p);
bool ata_log(const struct ata_drive *a, uint8_t page, uint8_t *p);

/* ---- cd.c ---- */
void ata_cd_start(struct ata_cmd *c, bool have_cdb);
void ata_cd_packet(struct ata_cmd *c);
void ata_cd_received(struct ata_cmd *c);
void ata_cd_io_failed(struct ata_cmd *c, int result);
void ata_cd_check(struct ata_cmd *c, uint8_t key, uint8_t asc, uint8_t ascq);
bool ata_cd_has_medium(const struct ata_drive *a);
uint32_t ata_cd_blocks(const struct ata_drive *a);
bool ata_cd_is_dvd(const struct ata_drive *a);

/* ---- mmc.c: replies, at most ATA_BUF_BYTES into p; their length, 0: not with these arguments */
uint32_t mmc_inquiry(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p);
uint32_t mmc_toc(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p);
uint32_t mmc_configuration(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p);
uint32_t mmc_event(struct ata_drive *a, const uint8_t *cdb, uint8_t *p);
uint32_t mmc_mode_sense(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p);
/* len bytes of parameters; false: they cannot be. */
bool mmc_mode_select(struct ata_drive *a, const uint8_t *cdb, const uint8_t *p, uint32_t len);
uint32_t mmc_disc_information(const struct ata_drive *a, uint8_t *p);
uint32_t mmc_track_information(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p);
uint32_t mmc_dvd_structure(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p);
uint32_t mmc_mechanism_status(const struct ata_drive *a, uint8_t *p);
uint32_t mmc_sub_channel(const uint8_t *cdb, uint8_t *p);

/* ---- cd_sector.c ---- */
enum { CD_SYNC = 0x80, CD_HEADER = 0x20, CD_DATA = 0x10, CD_EDC = 0x08 };
/* Bytes of the parts in flags. */
uint32_t cd_raw_bytes(uint8_t flags);
/* Makes n blocks of user data at the start of buf into those parts of mode 1 sectors from lba on,
 * in place. */
void cd_make_raw(uint8_t *buf, unsigned n, uint32_t lba, uint8_t flags);

static inline uint32_t be16_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}
static inline uint32_t be24_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | be16_at(p + 1);
}
static inline uint32_t be32_at(const uint8_t *p)
{
	return be16_at(p) << 16 | be16_at(p + 2);
}
static inline void put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void put_be24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 16);
	put_be16(p + 1, v);
}
static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}
#endif
