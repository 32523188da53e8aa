// SPDX-License-Identifier: GPL-2.0-only
/*
 * TLS sight: the plaintext that a watched process gives to its TLS library, and is given by it.
 *
 * uprobe, uretprobe on the library's functions (user/tls finds them, the agent attaches to watched
 * processes alone) -> records of plaintext, in calls' order a connection and direction.
 * tp_btf/sock_send_length -> which socket a connection writes to: the one that is sent on inside
 * the call, else the thread's next. A loss is counted and seen, for every record says at which
 * octet of its direction it begins.
 *
 * A session's request that the policy refuses (by its authority, or by a credential in it) is held:
 * the thread is remembered before the library encrypts, and what it sends next does not leave.
 */
#include <linux/ptrace.h>

#include "lib/carry.h"
#include "lib/request.h"

char _license[] SEC("license") = "GPL";

#define PR_DESC_LAYERED 4 /* NSPR's PRDescType: TLS, not the socket or a file below */
#define PR_MSG_PEEK 2
#define TAGGED (20 + 20 + 5 + 17) /* octets of the shortest packet with a record in it */

/* Go: conn.conn (interface) -> *TCPConn -> *netFD -> pfd.Sysfd, and what that descriptor is. */
static __always_inline __u64 go_cookie(__u64 conn)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **fds = BPF_CORE_READ(fdt, fd), *file = 0;
	struct socket *socket;
	__u64 at = 0;
	__s64 fd = -1;

	if (bpf_probe_read_user(&at, sizeof(at), (void *)(conn + 8)) ||
	    bpf_probe_read_user(&at, sizeof(at), (void *)at) ||
	    bpf_probe_read_user(&fd, sizeof(fd), (void *)(at + 16)) || fd < 0 ||
	    fd >= BPF_CORE_READ(fdt, max_fds))
		return 0; /* wrapped in something else */
	bpf_probe_read_kernel(&file, sizeof(file), fds + fd);
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return (__u64)BPF_CORE_READ(socket, sk, __sk_common.skc_cookie.counter);
}

static __always_inline int is_write(__u32 call)
{
	return call <= FENCE_TLS_WRITE_PR;
}

/* Only a descriptor with layers on it is TLS. */
static __always_inline int is_layered(__u64 fd)
{
	__u64 methods = 0;
	__u32 type = 0;

	bpf_probe_read_user(&methods, sizeof(methods), (void *)fd);
	bpf_probe_read_user(&type, sizeof(type), (void *)methods);
	return type == PR_DESC_LAYERED;
}

/* The frame of this stack pointer, else a free one, else the one whose turn it is. */
static __always_inline struct frame *frame_take(struct thread *t, __u64 sp)
{
	struct frame *f = 0;
	__u32 i;

	for (i = 0; i < FENCE_SIGHT_FRAMES; i++)
		if (t->frames[i].sp == sp)
			f = &t->frames[i];
	for (i = 0; i < FENCE_SIGHT_FRAMES && !f; i++)
		if (!t->frames[i].sp)
			f = &t->frames[i];
	if (f)
		return f;
	t->next++;
	return &t->frames[t->next & (FENCE_SIGHT_FRAMES - 1)];
}

/*
 * rustls: struct OutboundPlainMessage { OutboundChunks payload; ContentType typ; ..}, as its
 * compiler lays it out: a slice behind a NULL, or a window of an array of slices.
 */
#define RUSTLS_DATA 3 /* of the enum, not of the wire */
#define RUSTLS_SLICES 8
#define RUSTLS_RECORD (16384 + 256 + 5)

struct rustls_slice {
	__u64 at, len;
};

struct rustls_message {
	__u64 slices; /* 0: the next two are the one slice */
	__u64 a, b; /* at, len; or how many, start */
	__u64 end;
	__u8 type, unknown;
	__u8 spare[6];
};

/* The connection itself moves in memory; the box of its encrypter, which is of its keys, does not.
 */
static __always_inline __u64 rustls_conn(__u64 self, __u64 cookie)
{
	__u64 box = 0;

	bpf_probe_read_user(&box, sizeof(box), (void *)(self + (cookie >> 8 & 0xff)));
	return box;
}

/* The first record under new keys: the box may have been another's. */
static __always_inline void rustls_begin(struct fence_proc *p, const struct conn_key *k, __u64 self,
					 __u64 cookie)
{
	struct conn *c = bpf_map_lookup_elem(&conns, k);
	__u64 seq = 0;

	if (c && c->at[1] &&
	    !bpf_probe_read_user(&seq, sizeof(seq), (void *)(self + (cookie >> 16 & 0xff))) && !seq)
		conn_end(p, k);
}

struct rustls_cursor {
	struct fence_proc *p;
	const struct conn_key *k;
	const struct rustls_message *m;
	__u64 done; /* octets of slices so far */
	__u32 now;
};

static long rustls_slice(__u32 i, void *ctx)
{
	struct rustls_cursor *c = ctx;
	struct rustls_slice s = {};
	__u64 from = c->done, skip = 0;

	if (i >= c->m->a ||
	    bpf_probe_read_user(&s, sizeof(s), (void *)(c->m->slices + i * sizeof(s))))
		return 1;
	c->done += s.len;
	if (c->done > c->m->end)
		s.len -= c->done - c->m->end;
	if (from < c->m->b)
		skip = c->m->b - from;
	if (c->done > c->m->b && from < c->m->end && skip < s.len && s.len - skip <= RUSTLS_RECORD)
		plaintext(c->p, c->k, s.at + skip, (__u32)(s.len - skip), 1, c->now);
	return c->done >= c->m->end;
}

/* The plaintext of a record, which cannot fail any more. How many octets; 0: it is none. */
static __always_inline __u64 rustls_write(struct fence_proc *p, const struct conn_key *k, __u64 at)
{
	struct rustls_cursor c = { .p = p, .k = k };
	struct conn *conn = conn_get(k);
	struct rustls_message m = {};
	struct rustls_slice s = {};
	__u64 len, end;

	if (!conn)
		request_lost(p);
	if (!conn || bpf_probe_read_user(&m, sizeof(m), (void *)at) || m.type != RUSTLS_DATA)
		return 0;
	s = (struct rustls_slice){ .at = m.a, .len = m.b };
	len = m.slices ? m.end - m.b : s.len;
	if (!len || len > RUSTLS_RECORD)
		return 0;
	end = conn->at[1] + len;
	if (m.slices && (!m.a || bpf_probe_read_user(&s, sizeof(s), (void *)m.slices)))
		return 0;
	c.m = &m;
	c.now = !request_look(s.at, s.len, p, conn_cookie(conn), conn) || m.slices;
	if (m.slices)
		conn->reads = READ_WHOLE; /* one slice was looked at */
	if (m.slices)
		bpf_loop(RUSTLS_SLICES, rustls_slice, &c, 0);
	else
		plaintext(p, k, s.at, (__u32)len, 1, c.now);
	conn->at[1] = end; /* what of many slices was not looked at is a gap */
	return len;
}

__u32 tagged; /* anything ever was: until then no packet is looked at */

/* What a write inside a TLS write puts into memory will be sent some time, by some thread. */
static __always_inline void tag_keep(__u32 tgid, __u64 buf, __u32 len)
{
	struct conn_key k = { .tgid = tgid };
	struct thread *t = thread_get(0);
	struct tag_key tag;

	if (!t || !t->inside || len < sizeof(tag) ||
	    bpf_probe_read_user(&tag, sizeof(tag), (void *)(buf + len - sizeof(tag))))
		return;
	k.conn = t->inside;
	bpf_map_update_elem(&tags, &tag, &k, BPF_ANY);
	tagged = 1;
}

/* Result<Option<Decrypted>>: behind what says that it is one, a slice, its type, and a bool. */
static __always_inline __u64 rustls_read(__u64 at, __u64 *buf)
{
	struct {
		__u64 ok, at, len;
		__u8 type, spare[7];
		__u8 close;
	} __attribute__((packed)) r = {};

	if (bpf_probe_read_user(&r, sizeof(r), (void *)at) || r.type != RUSTLS_DATA ||
	    r.close > 1 || r.len > RUSTLS_RECORD)
		return 0;
	*buf = r.at;
	return r.len;
}

/* The record that was made: a Vec, { capacity, at, len } as its compiler lays it out. */
static __always_inline void rustls_record(__u32 tgid, __u64 at)
{
	__u64 vec[3] = {};

	if (!bpf_probe_read_user(vec, sizeof(vec), (void *)at) && vec[2] <= vec[0] &&
	    vec[2] <= RUSTLS_RECORD)
		tag_keep(tgid, vec[1], (__u32)vec[2]);
}

SEC("uprobe.multi")
int tls_enter(struct pt_regs *ctx)
{
	__u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 call = (__u8)cookie;
	struct fence_proc *p = watched(tgid);
	struct conn_key k = { .conn = PT_REGS_PARM1(ctx), .tgid = tgid };
	struct thread *t;
	struct frame *f;
	struct conn *c;
	__u64 len;

	if (!p)
		return 0;
	if (call == FENCE_TLS_FREE) {
		conn_end(p, &k);
		return 0;
	}
	if ((call == FENCE_TLS_WRITE_PR || call == FENCE_TLS_READ_PR ||
	     call == FENCE_TLS_RECV_PR) &&
	    !is_layered(k.conn))
		return 0;
	if (call == FENCE_TLS_RECV_PR && PT_REGS_PARM4(ctx) & PR_MSG_PEEK)
		return 0;
	if (call == FENCE_TLS_BIO_WRITE) {
		tag_keep(tgid, PT_REGS_PARM2(ctx), (__u32)PT_REGS_PARM3(ctx));
		return 0;
	}
	t = thread_get(BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		if (is_write(call))
			request_lost(p);
		return 0;
	}
	f = frame_take(t, PT_REGS_SP(ctx));
	f->sp = PT_REGS_SP(ctx);
	f->conn = k.conn;
	f->call = call;
	f->buf = PT_REGS_PARM2(ctx);
	f->done = PT_REGS_PARM4(ctx);
	len = PT_REGS_PARM3(ctx);
	barrier_var(len); /* or the choice between two becomes one load at a chosen offset */
	if (call == FENCE_TLS_WRITE_BSSL) {
		f->buf = PT_REGS_PARM4(ctx);
		f->done = PT_REGS_PARM3(ctx);
		len = PT_REGS_PARM5(ctx);
	}
	if (call == FENCE_TLS_READ_RUSTLS) {
		f->conn = rustls_conn(PT_REGS_PARM2(ctx), cookie);
		f->buf = PT_REGS_PARM1(ctx);
	}
	if (call == FENCE_TLS_WRITE_RUSTLS) {
		k.conn = f->conn = rustls_conn(PT_REGS_PARM2(ctx), cookie);
		rustls_begin(p, &k, PT_REGS_PARM2(ctx), cookie);
		f->done = PT_REGS_PARM1(ctx);
		t->inside = k.conn;
		t->pending = 0;
		f->buf = rustls_write(p, &k, PT_REGS_PARM3(ctx));
		if (!f->buf)
			f->sp = 0;
		return 0;
	}
	if (is_write(call)) {
		t->inside = k.conn;
		t->pending = 0;
		c = conn_get(&k);
		f->told = (__u32)request_look(f->buf, len, p, conn_cookie(c), c);
	}
	return 0;
}

/* How many octets the call took or gave, and where they are; 0: none. */
static __always_inline __u32 result(const struct frame *f, int ret, __u64 *buf)
{
	struct {
		__u64 p, n;
	} span = {};
	__u64 n = 0;

	*buf = f->buf;
	switch (f->call) {
	case FENCE_TLS_WRITE_EX:
	case FENCE_TLS_READ_EX:
	case FENCE_TLS_WRITE_BSSL:
		if (ret == 1)
			bpf_probe_read_user(&n, sizeof(n), (void *)f->done);
		break;
	case FENCE_TLS_READ_BSSL:
		if (!ret)
			bpf_probe_read_user(&span, sizeof(span), (void *)f->buf);
		*buf = span.p;
		n = span.n;
		break;
	case FENCE_TLS_READ_RUSTLS:
		n = rustls_read(f->buf, buf);
		break;
	default:
		n = ret > 0 ? (__u64)ret : 0;
	}
	return n < (1u << 30) ? (__u32)n : 0;
}

SEC("uprobe.multi")
int tls_leave(struct pt_regs *ctx)
{
	__u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32), i, n, out;
	struct fence_proc *p = watched(tgid);
	__u64 sp = PT_REGS_SP(ctx) - 8, buf;
	struct conn_key k = { .tgid = tgid };
	struct frame *f = 0;
	struct thread *t;

	if (!p)
		return 0;
	t = thread_get(0);
	for (i = 0; t && i < FENCE_SIGHT_FRAMES; i++)
		if (t->frames[i].sp == sp)
			f = &t->frames[i];
	if (!t || !f)
		return 0; /* of a call that is not looked at, or was there before the probe */
	f->sp = 0;
	k.conn = f->conn;
	if (f->call == FENCE_TLS_WRITE_RUSTLS) {
		rustls_record(tgid, f->done);
		t->inside = 0;
		t->pending = k.conn;
		t->pending_len = (__u32)f->buf;
		return 0;
	}
	out = is_write(f->call);
	n = result(f, (int)PT_REGS_RC(ctx), &buf);
	if (out && t->inside == k.conn && n) { /* not sent yet */
		t->pending = k.conn;
		t->pending_len = n;
	}
	if (out && !n && t->held)
		hold_end(t, 0);
	if (out)
		t->inside = 0;
	if (n)
		plaintext(p, &k, buf, n, out, out && !f->told);
	return 0;
}

/* Inside OpenSSL's read, which will return what is in rax. */
SEC("uprobe.multi")
int tls_kept(struct pt_regs *ctx)
{
	/* those that calls keep, as instructions number them */
	__u64 reg[16] = { [3] = ctx->rbx,  [5] = ctx->rbp,  [12] = ctx->r12,
			  [13] = ctx->r13, [14] = ctx->r14, [15] = ctx->r15 };
	__u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32), which;
	struct conn_key k = { .tgid = tgid };
	struct fence_proc *p;
	__u64 n = 0;

	if ((int)ctx->rax != 1)
		return 0;
	p = watched(tgid);
	which = (__u32)(bpf_get_attach_cookie(ctx) >> 8);
	if (!p || reg[which >> 12 & 15]) /* it peeks: they will be read again */
		return 0;
	k.conn = reg[which & 15];
	bpf_probe_read_user(&n, sizeof(n), (void *)reg[which >> 8 & 15]);
	if (n && n < (1u << 30))
		plaintext(p, &k, reg[which >> 4 & 15], (__u32)n, 0, 0);
	return 0;
}

/* Go's own registers: rax, rbx, rcx; the goroutine is r14. Writes are whole or fail. */
SEC("uprobe.multi")
int tls_go(struct pt_regs *ctx)
{
	__u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
	__u32 call = (__u8)bpf_get_attach_cookie(ctx);
	struct fence_proc *p = watched(tgid);
	struct go_key g = { .g = ctx->r14, .tgid = tgid };
	struct conn_key k = { .tgid = tgid };
	struct go_read fresh, *was;
	struct thread *t;
	int told;

	if (!p)
		return 0;
	if (call == FENCE_TLS_GO_READ) {
		fresh = (struct go_read){ .conn = ctx->rax, .buf = ctx->rbx };
		bpf_map_update_elem(&go_reads, &g, &fresh, BPF_ANY);
		return 0;
	}
	if (call == FENCE_TLS_GO_WRITE) {
		k.conn = ctx->rax;
		t = thread_get(BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (t)
			t->inside = k.conn;
		told = request_look(ctx->rbx, ctx->rcx, p, go_cookie(k.conn), conn_get(&k));
		if (ctx->rcx && ctx->rcx < (1u << 30))
			plaintext(p, &k, ctx->rbx, (__u32)ctx->rcx, 1, !told);
		return 0;
	}
	was = bpf_map_lookup_elem(&go_reads, &g);
	if (!was) {
		miss(FENCE_SIGHT_NO_FRAME);
		return 0;
	}
	k.conn = was->conn;
	fresh.buf = was->buf;
	bpf_map_delete_elem(&go_reads, &g);
	if ((__s64)ctx->rax > 0 && ctx->rax < (1u << 30))
		plaintext(p, &k, fresh.buf, (__u32)ctx->rax, 0, 0);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(tls_send, struct sock *sk, int ret, int flags)
{
	struct conn_key k = {};
	struct fence_proc *p;
	struct thread *t;
	__u32 how = FENCE_SIGHT_EXACT;
	__u16 family;

	/* of a thread that never met a probe there is nothing to tell: as good as all sends */
	if (ret <= 0 || !bpf_get_current_task_btf()->utask)
		return 0;
	t = thread_get(0);
	if (!t)
		return 0;
	k.conn = t->inside;
	if (!k.conn) {
		k.conn = t->pending;
		how = FENCE_SIGHT_GUESSED;
	}
	if (!k.conn || (how == FENCE_SIGHT_GUESSED && (__u32)ret < t->pending_len))
		return 0;
	family = sk->__sk_common.skc_family;
	if (family != AF_INET && family != AF_INET6)
		return 0;
	t->inside = 0;
	t->pending = 0;
	if (t->held)
		hold_end(t, sk);
	k.tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
	p = watched(k.tgid);
	if (p)
		map_to(p, &k, bpf_get_socket_cookie(sk), how);
	return 0;
}

/* Does this packet end in what a session's TLS library wrote to memory? Then that is its socket. */
static __always_inline void tag_find(struct __sk_buff *skb)
{
	struct conn_key *found, k;
	struct fence_sock *st;
	struct fence_proc *p;
	struct bpf_sock *sk;
	struct tag_key tag;

	if (!tagged || skb->len < TAGGED || !skb->sk)
		return;
	sk = bpf_sk_fullsock(skb->sk);
	st = sk ? bpf_sk_storage_get(&socks, sk, 0, 0) : 0;
	if (!st || !st->session ||
	    bpf_skb_load_bytes(skb, skb->len - sizeof(tag), &tag, sizeof(tag)))
		return;
	found = bpf_map_lookup_elem(&tags, &tag);
	if (!found)
		return;
	k = *found;
	bpf_map_delete_elem(&tags, &tag);
	p = watched(k.tgid);
	if (p && p->session == st->session)
		map_to(p, &k, bpf_get_socket_cookie(skb), FENCE_SIGHT_EXACT);
}

SEC("cgroup_skb/egress")
int tls_tag_passed(struct __sk_buff *skb)
{
	tag_find(skb);
	return 1;
}

SEC("cgroup_skb/egress")
int tls_tag_refused(struct __sk_buff *skb)
{
	tag_find(skb);
	return 0;
}
