/*
 * Floppy disks: how an image's size tells its tracks, and which drive reads which disk. Sectors
 * have 512 bytes and lie in the order of cylinder, head, sector.
 */
#ifndef DEVMODEL_STORAGE_FLOPPY_H
#define DEVMODEL_STORAGE_FLOPPY_H
#include <stdbool.h>
#include <stdint.h>

#define FLOPPY_SECTOR_BYTES 512u

/* As controllers encode it. */
enum floppy_rate { FLOPPY_500K, FLOPPY_300K, FLOPPY_250K, FLOPPY_1M };

/* As the CMOS has it. */
enum floppy_drive {
	FLOPPY_DRIVE_NONE,
	FLOPPY_DRIVE_360K,  /* 5.25 inch, 40 tracks */
	FLOPPY_DRIVE_1200K, /* 5.25 inch */
	FLOPPY_DRIVE_720K,  /* 3.5 inch, from here on */
	FLOPPY_DRIVE_1440K,
	FLOPPY_DRIVE_2880K,
	FLOPPY_N_DRIVES
};

struct floppy_format {
	uint16_t kib; /* of the image */
	uint8_t cylinders, heads, sectors;
	uint8_t rate; /* enum floppy_rate, in a drive made for it */
	bool is_525;  /* 5.25 inch; else 3.5 */
};

/* The format of an image of that size; NULL: no floppy disk has it. Constant. */
const struct floppy_format *floppy_format_of(uint64_t bytes);
/* The size of the disk that an image of that length goes on: its own, else that of the smallest
 * usual 3.5 inch disk that holds it; 0: none does. */
uint64_t floppy_disk_bytes(uint64_t bytes);
/* Can the drive read the disk? */
bool floppy_fits(enum floppy_drive d, const struct floppy_format *f);
/* The usual drive for a disk; NULL: for an empty drive. */
enum floppy_drive floppy_drive_for(const struct floppy_format *f);
/* The rate at which a drive meets a disk's bits: one that turns faster meets them faster. */
enum floppy_rate floppy_rate_in(enum floppy_drive d, const struct floppy_format *f);
/* "1.44M", as in the settings; "none". */
const char *floppy_drive_name(enum floppy_drive d);
#endif
