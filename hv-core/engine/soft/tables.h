/* The integer groups' tables, joined by int_misc.c: soft_ops_int. */
#ifndef SOFT_TABLES_H
#define SOFT_TABLES_H
#include "engine/soft/soft.h"

extern const struct soft_op soft_ops_mov[], soft_ops_alu[], soft_ops_shift[], soft_ops_bit[],
	soft_ops_mul[], soft_ops_bcd[], soft_ops_misc[];
#endif
