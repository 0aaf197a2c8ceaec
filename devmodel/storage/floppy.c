/* Floppy disks by size, see floppy.h. */
#include "devmodel/storage/floppy.h"
#include <stddef.h>
#include "base/util.h"

static const struct floppy_format formats[] = {
	{ 160, 40, 1, 8, FLOPPY_250K, true },	 { 180, 40, 1, 9, FLOPPY_250K, true },
	{ 320, 40, 2, 8, FLOPPY_250K, true },	 { 360, 40, 2, 9, FLOPPY_250K, true },
	{ 410, 41, 2, 10, FLOPPY_250K, true },	 { 420, 42, 2, 10, FLOPPY_250K, true },
	{ 1200, 80, 2, 15, FLOPPY_500K, true },	 { 640, 80, 2, 8, FLOPPY_250K, false },
	{ 720, 80, 2, 9, FLOPPY_250K, false },	 { 800, 80, 2, 10, FLOPPY_250K, false },
	{ 820, 82, 2, 10, FLOPPY_250K, false },	 { 830, 83, 2, 10, FLOPPY_250K, false },
	{ 880, 80, 2, 11, FLOPPY_250K, false },	 { 1040, 80, 2, 13, FLOPPY_500K, false },
	{ 1120, 80, 2, 14, FLOPPY_500K, false }, { 1440, 80, 2, 18, FLOPPY_500K, false },
	{ 1476, 82, 2, 18, FLOPPY_500K, false }, { 1494, 83, 2, 18, FLOPPY_500K, false },
	{ 1600, 80, 2, 20, FLOPPY_500K, false }, { 1640, 82, 2, 20, FLOPPY_500K, false },
	{ 1660, 83, 2, 20, FLOPPY_500K, false }, { 1680, 80, 2, 21, FLOPPY_500K, false },
	{ 1722, 82, 2, 21, FLOPPY_500K, false }, { 1743, 83, 2, 21, FLOPPY_500K, false },
	{ 1760, 80, 2, 22, FLOPPY_500K, false }, { 1840, 80, 2, 23, FLOPPY_500K, false },
	{ 1920, 80, 2, 24, FLOPPY_500K, false }, { 2880, 80, 2, 36, FLOPPY_1M, false },
	{ 3120, 80, 2, 39, FLOPPY_1M, false },	 { 3200, 80, 2, 40, FLOPPY_1M, false },
	{ 3520, 80, 2, 44, FLOPPY_1M, false },	 { 3840, 80, 2, 48, FLOPPY_1M, false },
};

const struct floppy_format *floppy_format_of(uint64_t bytes)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(formats); i++)
		if (formats[i].kib * HV_KIB(1) == bytes)
			return &formats[i];
	return NULL;
}

uint64_t floppy_disk_bytes(uint64_t bytes)
{
	static const uint16_t usual_kib[] = { 720, 1440, 2880 };

	if (floppy_format_of(bytes) != NULL)
		return bytes;
	for (size_t i = 0; i < HV_ARRAY_LEN(usual_kib); i++)
		if (bytes <= usual_kib[i] * HV_KIB(1))
			return usual_kib[i] * HV_KIB(1);
	return 0;
}

bool floppy_fits(enum floppy_drive d, const struct floppy_format *f)
{
	switch (d) {
	case FLOPPY_DRIVE_360K:
		return f->is_525 && f->rate == FLOPPY_250K;
	case FLOPPY_DRIVE_1200K:
		return f->is_525;
	case FLOPPY_DRIVE_720K:
		return !f->is_525 && f->rate == FLOPPY_250K;
	case FLOPPY_DRIVE_1440K:
		return !f->is_525 && f->rate != FLOPPY_1M;
	case FLOPPY_DRIVE_2880K:
		return !f->is_525;
	default:
		return false;
	}
}

/* More sectors a track than usual: a BIOS believes its drive's number. */
enum floppy_drive floppy_drive_for(const struct floppy_format *f)
{
	if (f == NULL)
		return FLOPPY_DRIVE_1440K;
	if (f->is_525)
		return f->rate == FLOPPY_250K ? FLOPPY_DRIVE_360K : FLOPPY_DRIVE_1200K;
	return f->sectors > 18 ? FLOPPY_DRIVE_2880K : FLOPPY_DRIVE_1440K;
}

/* A 1.2M drive makes 360 turns a minute, all others 300. */
enum floppy_rate floppy_rate_in(enum floppy_drive d, const struct floppy_format *f)
{
	return d == FLOPPY_DRIVE_1200K && f->rate == FLOPPY_250K ? FLOPPY_300K
								 : (enum floppy_rate)f->rate;
}

const char *floppy_drive_name(enum floppy_drive d)
{
	static const char *const names[FLOPPY_N_DRIVES] = { "none", "360K",  "1.2M",
							    "720K", "1.44M", "2.88M" };

	return names[d];
}
