// SPDX-License-Identifier: Apache-2.0
#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"

int fence_diag_set(struct fence_diag *d, int err, const char *path, const char *fmt, ...)
{
	va_list ap;

	if (!d)
		return err;
	d->line = d->column = 0;
	d->value[0] = 0;
	snprintf(d->path, sizeof(d->path), "%s", path ? path : "");
	va_start(ap, fmt);
	vsnprintf(d->text, sizeof(d->text), fmt, ap);
	va_end(ap);
	fence_text_plain(d->path);
	fence_text_plain(d->text);
	return err;
}

const char *fence_diag_line(const struct fence_diag *d, char *out, unsigned long size)
{
	char place[32] = "";

	if (d->line)
		snprintf(place, sizeof(place), ":%u:%u", d->line, d->column);
	snprintf(out, size, "%s%s%s%s%s%s%s%s", d->file, place, d->file[0] ? ": " : "", d->path,
		 d->value[0] ? d->path[0] ? " = " : "here: " : "", d->value,
		 d->path[0] || d->value[0] ? ": " : "", d->text);
	return out;
}
