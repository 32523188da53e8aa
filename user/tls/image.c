// SPDX-License-Identifier: Apache-2.0
#include "tls/image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DYNAMIC_MAX 512 /* entries of the dynamic section that are read */
#define CHAIN_MAX 4096 /* symbols of one hash bucket that are read */

uint32_t fence_image_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t fence_image_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static const struct fence_image_segment *segment_of(const struct fence_image *im, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < im->nsegments; i++)
		if (vaddr >= im->segments[i].vaddr &&
		    vaddr - im->segments[i].vaddr < im->segments[i].size)
			return &im->segments[i];
	return NULL;
}

const uint8_t *fence_image_at(const struct fence_image *im, uint64_t vaddr, uint64_t len)
{
	const struct fence_image_segment *s = segment_of(im, vaddr);

	if (!s || len > s->size - (vaddr - s->vaddr))
		return NULL;
	return im->data + s->offset + (vaddr - s->vaddr);
}

uint64_t fence_image_offset(const struct fence_image *im, uint64_t vaddr)
{
	const struct fence_image_segment *s = segment_of(im, vaddr);

	return s ? s->offset + (vaddr - s->vaddr) : 0;
}

int fence_image_is_code(const struct fence_image *im, uint64_t vaddr)
{
	const struct fence_image_segment *s = segment_of(im, vaddr);

	return s && s->exec;
}

int fence_image_is_data(const struct fence_image *im, uint64_t vaddr)
{
	const struct fence_image_segment *s = segment_of(im, vaddr);

	return s && !s->exec;
}

/* The GNU build id among a PT_NOTE's notes. */
static void read_notes(struct fence_image *im, uint64_t at, uint64_t len)
{
	Elf64_Nhdr n;

	while (len >= sizeof(n)) {
		uint64_t name, desc, step;

		memcpy(&n, im->data + at, sizeof(n));
		name = ((uint64_t)n.n_namesz + 3) & ~3ULL;
		desc = ((uint64_t)n.n_descsz + 3) & ~3ULL;
		step = sizeof(n) + name + desc;
		if (step > len)
			return;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 &&
		    !memcmp(im->data + at + sizeof(n), "GNU", 4) && n.n_descsz <= FENCE_BUILD_ID) {
			memcpy(im->build_id, im->data + at + sizeof(n) + name, n.n_descsz);
			im->build_id_len = n.n_descsz;
			return;
		}
		at += step;
		len -= step;
	}
}

static void read_dynamic(struct fence_image *im, uint64_t at, uint64_t len)
{
	uint64_t i, n = len / sizeof(Elf64_Dyn);

	for (i = 0; i < n && i < DYNAMIC_MAX; i++) {
		Elf64_Dyn d;

		memcpy(&d, im->data + at + i * sizeof(d), sizeof(d));
		switch (d.d_tag) {
		case DT_NULL:
			return;
		case DT_RELA:
			im->rela = d.d_un.d_ptr;
			break;
		case DT_RELASZ:
			im->rela_size = d.d_un.d_val;
			break;
		case DT_RELR:
			im->relr = d.d_un.d_ptr;
			break;
		case DT_RELRSZ:
			im->relr_size = d.d_un.d_val;
			break;
		case DT_SYMTAB:
			im->symbols = d.d_un.d_ptr;
			break;
		case DT_STRTAB:
			im->strings = d.d_un.d_ptr;
			break;
		case DT_STRSZ:
			im->strings_size = d.d_un.d_val;
			break;
		case DT_GNU_HASH:
			im->gnu_hash = d.d_un.d_ptr;
			break;
		default:
			break;
		}
	}
}

static int read_segment(struct fence_image *im, const Elf64_Phdr *p)
{
	struct fence_image_segment *s;

	if (p->p_offset > im->size || p->p_filesz > im->size - p->p_offset ||
	    p->p_vaddr + p->p_filesz < p->p_vaddr)
		return -ENOEXEC;
	if (p->p_type == PT_NOTE)
		read_notes(im, p->p_offset, p->p_filesz);
	if (p->p_type == PT_DYNAMIC)
		read_dynamic(im, p->p_offset, p->p_filesz);
	if (p->p_type != PT_LOAD || !p->p_filesz)
		return 0;
	if (im->nsegments == FENCE_IMAGE_SEGMENTS)
		return -ENOEXEC;
	s = &im->segments[im->nsegments++];
	s->vaddr = p->p_vaddr;
	s->offset = p->p_offset;
	s->size = p->p_filesz;
	s->exec = !!(p->p_flags & PF_X);
	return 0;
}

int fence_image_init(struct fence_image *im, const uint8_t *data, size_t size)
{
	Elf64_Ehdr h;
	unsigned int i;
	int err;

	memset(im, 0, sizeof(*im));
	im->data = data;
	im->size = size;
	if (size < sizeof(h))
		return -ENOEXEC;
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 ||
	    h.e_machine != EM_X86_64 || (h.e_type != ET_DYN && h.e_type != ET_EXEC) ||
	    h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phoff > size ||
	    (uint64_t)h.e_phnum * sizeof(Elf64_Phdr) > size - h.e_phoff)
		return -ENOEXEC;
	im->pie = h.e_type == ET_DYN;
	for (i = 0; i < h.e_phnum; i++) {
		Elf64_Phdr p;

		memcpy(&p, data + h.e_phoff + i * sizeof(p), sizeof(p));
		err = read_segment(im, &p);
		if (err < 0)
			return err;
	}
	return im->nsegments ? 0 : -ENOEXEC;
}

void fence_image_done(struct fence_image *im)
{
	free(im->pointers);
	im->pointers = NULL;
	im->npointers = 0;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	while (*name)
		h = h * 33 + (uint8_t)*name++;
	return h;
}

/* Is the symbol `index` a function of this name that is defined here? Its vaddr, or 0. */
static uint64_t symbol_if(const struct fence_image *im, uint32_t index, const char *name)
{
	const uint8_t *p =
		fence_image_at(im, im->symbols + index * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
	size_t len = strlen(name) + 1;
	const uint8_t *text;
	Elf64_Sym s;

	if (!p)
		return 0;
	memcpy(&s, p, sizeof(s));
	if (s.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s.st_info) != STT_FUNC ||
	    s.st_name >= im->strings_size)
		return 0;
	text = fence_image_at(im, im->strings + s.st_name, len);
	if (!text || memcmp(text, name, len) || !fence_image_is_code(im, s.st_value))
		return 0;
	return s.st_value;
}

uint64_t fence_image_symbol(const struct fence_image *im, const char *name)
{
	const uint8_t *head = im->gnu_hash ? fence_image_at(im, im->gnu_hash, 16) : NULL, *p;
	uint32_t buckets, first, bloom, index, hash = gnu_hash(name), i;
	uint64_t at, found;

	if (!head || !im->symbols || !im->strings)
		return 0;
	buckets = fence_image_u32(head);
	first = fence_image_u32(head + 4);
	bloom = fence_image_u32(head + 8);
	if (!buckets)
		return 0;
	at = im->gnu_hash + 16 + 8ULL * bloom;
	p = fence_image_at(im, at + 4ULL * (hash % buckets), 4);
	index = p ? fence_image_u32(p) : 0;
	if (index < first || !index)
		return 0;
	at += 4ULL * buckets;
	for (i = 0; i < CHAIN_MAX; i++, index++) {
		uint32_t h;

		p = fence_image_at(im, at + 4ULL * (index - first), 4);
		if (!p)
			return 0;
		h = fence_image_u32(p);
		found = (h | 1) == (hash | 1) ? symbol_if(im, index, name) : 0;
		if (found || h & 1)
			return found;
	}
	return 0;
}

static int add_pointer(struct fence_image *im, size_t *room, uint64_t at, uint64_t to)
{
	struct fence_image_pointer *more;

	if (im->npointers >= FENCE_IMAGE_POINTERS)
		return -E2BIG;
	if (im->npointers == *room) {
		*room = *room ? 2 * *room : 4096;
		more = realloc(im->pointers, *room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		im->pointers = more;
	}
	im->pointers[im->npointers++] = (struct fence_image_pointer){ .at = at, .to = to };
	return 0;
}

static int collect_rela(struct fence_image *im, size_t *room)
{
	uint64_t i, n = im->rela_size / sizeof(Elf64_Rela);
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		const uint8_t *p =
			fence_image_at(im, im->rela + i * sizeof(Elf64_Rela), sizeof(Elf64_Rela));
		Elf64_Rela r;

		if (!p)
			return 0;
		memcpy(&r, p, sizeof(r));
		if (ELF64_R_TYPE(r.r_info) == R_X86_64_RELATIVE)
			err = add_pointer(im, room, r.r_offset, (uint64_t)r.r_addend);
	}
	return err;
}

/* What stands in the file is the addend of a RELR entry. */
static int add_relr(struct fence_image *im, size_t *room, uint64_t at)
{
	const uint8_t *p = fence_image_at(im, at, 8);

	return p ? add_pointer(im, room, at, fence_image_u64(p)) : 0;
}

/* gABI draft: an even word is an address, an odd one a bitmap of the 63 words behind the last. */
static int collect_relr(struct fence_image *im, size_t *room)
{
	uint64_t i, n = im->relr_size / 8, where = 0;
	int err = 0, bit;

	for (i = 0; i < n && !err; i++) {
		const uint8_t *p = fence_image_at(im, im->relr + 8 * i, 8);
		uint64_t v;

		if (!p)
			return 0;
		v = fence_image_u64(p);
		if (!(v & 1)) {
			err = add_relr(im, room, v);
			where = v + 8;
			continue;
		}
		for (bit = 0; bit < 63 && !err; bit++)
			if (v >> (bit + 1) & 1)
				err = add_relr(im, room, where + 8ULL * (unsigned int)bit);
		where += 63 * 8;
	}
	return err;
}

static int collect_words(struct fence_image *im, size_t *room)
{
	size_t i;

	for (i = 0; i < im->nsegments; i++) {
		const struct fence_image_segment *s = &im->segments[i];
		uint64_t off = (8 - (s->vaddr & 7)) & 7;
		int err = 0;

		for (; !s->exec && off + 8 <= s->size && !err; off += 8) {
			uint64_t to = fence_image_u64(im->data + s->offset + off);

			if (to && segment_of(im, to))
				err = add_pointer(im, room, s->vaddr + off, to);
		}
		if (err)
			return err;
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct fence_image_pointer *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

int fence_image_pointers(struct fence_image *im)
{
	size_t room = 0, i;
	int err;

	if (im->pointers)
		return 0;
	err = im->pie ? collect_rela(im, &room) : collect_words(im, &room);
	if (!err && im->pie)
		err = collect_relr(im, &room);
	for (i = 1; i < im->npointers && im->pointers[i - 1].at <= im->pointers[i].at; i++)
		;
	if (i < im->npointers) /* linkers sort them already */
		qsort(im->pointers, im->npointers, sizeof(*im->pointers), by_place);
	return err;
}

uint64_t fence_image_pointer(const struct fence_image *im, uint64_t at)
{
	size_t low = 0, high = im->npointers;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (im->pointers[mid].at == at)
			return im->pointers[mid].to;
		if (im->pointers[mid].at < at)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}
