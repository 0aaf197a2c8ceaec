/* All engines, in the order of preference under engine=auto; the null engine, which runs nothing,
 * comes last. */
#include "engine/engine.h"
#include <string.h>
#include "base/util.h"

static const struct hv_engine_ops *const engines[] = {
	&hv_engine_kvm,
	&hv_engine_soft,
	&hv_engine_null,
};

const struct hv_engine_ops *hv_engine_at(unsigned i)
{
	return i < HV_ARRAY_LEN(engines) ? engines[i] : NULL;
}

const struct hv_engine_ops *hv_engine_find(const char *name)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(engines); i++)
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	return NULL;
}
