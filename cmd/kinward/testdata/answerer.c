/* The floor: a program that answers every question over UDP with the least that
 * an answer can be, many datagrams a system call, and decides nothing. What a
 * resolver costs above it is its own. An A record for A, no data for the rest.
 * Usage: answerer PORT. Linux, loopback only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 32, ROOM = 1500 };

static unsigned char room[BATCH][ROOM];
static struct sockaddr_in peer[BATCH];
static struct iovec part[BATCH];
static struct mmsghdr in[BATCH], out[BATCH];

/* answer turns a question of n bytes into its answer and returns the length, 0 for
 * what is no question. Records behind the question are left out. */
static size_t answer(unsigned char *m, size_t n) {
	static const unsigned char record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1};
	size_t at = 12;
	if (n < 17 || m[2] & 0x80 || m[4] || m[5] != 1)
		return 0;
	while (at < n && m[at]) {
		if (m[at] > 63)
			return 0;
		at += m[at] + 1;
	}
	if (at + 5 > n)
		return 0;
	int is_a = m[at + 1] == 0 && m[at + 2] == 1;
	at += 5;
	m[2] = 0x80 | (m[2] & 1);
	m[3] = 0x80;
	memset(m + 6, 0, 6);
	if (is_a) {
		m[7] = 1;
		memcpy(m + at, record, sizeof record);
		at += sizeof record;
	}
	return at;
}

int main(int argc, char **argv) {
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int size = 1 << 20, s = socket(AF_INET, SOCK_DGRAM, 0);
	here.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
	setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (bind(s, (struct sockaddr *)&here, sizeof here)) {
		perror("bind");
		return 1;
	}
	for (int i = 0; i < BATCH; i++) {
		part[i].iov_base = room[i];
		in[i].msg_hdr = (struct msghdr){.msg_name = &peer[i], .msg_iov = &part[i], .msg_iovlen = 1};
	}
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			part[i].iov_len = ROOM;
			in[i].msg_hdr.msg_namelen = sizeof peer[i];
		}
		int n = recvmmsg(s, in, BATCH, MSG_WAITFORONE, NULL), answers = 0;
		for (int i = 0; i < n; i++)
			if ((part[i].iov_len = answer(room[i], in[i].msg_len)))
				out[answers++] = in[i];
		for (int sent = 0, k; sent < answers; sent += k)
			if ((k = sendmmsg(s, out + sent, answers - sent, 0)) < 1)
				k = 1; /* that one is lost */
	}
}
