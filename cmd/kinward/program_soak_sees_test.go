package main

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestSoakSeesWrongAnswers: what a soak looks for in each answer, it finds.
func TestSoakSeesWrongAnswers(t *testing.T) {
	lea, tablet := &soakDevices[0], &soakDevices[1]
	day, night := soakEvenings[0].begin, soakEvenings[0].begin.Add(4*time.Hour)
	opens := func(age time.Duration, ttl uint32) *dns.Msg { // an upstream's answer, from so long ago
		n := uint32((time.Hour - age) / time.Second)
		return &dns.Msg{Answer: []dns.RR{&dns.A{Hdr: dns.RR_Header{Rrtype: dns.TypeA, Ttl: ttl}, A: net.IPv4(20, byte(n>>16), byte(n>>8), byte(n))}}}
	}
	with := func(m *dns.Msg, ede uint16) *dns.Msg {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: ede}}
		return m
	}
	blocks := func() *dns.Msg {
		return with(&dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeNameError}}, dns.ExtendedErrorCodeFiltered)
	}
	fails := func() *dns.Msg { return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeServerFailure}} }
	listed := soakQuestion{domain: "listed1.example", name: "listed1.example.", always: true}
	granted := soakQuestion{domain: soakGranted, name: soakGranted + "."}
	often := soakQuestion{domain: "often.example", name: "host1.often.example."}

	for _, tt := range []struct {
		name   string
		device *soakDevice
		q      soakQuestion
		at     time.Time
		answer *dns.Msg
		away   bool          // the upstream is
		grant  time.Duration // how long after at it ends; 0: there is none
		wrong  bool
		waited time.Duration // for the answer
	}{
		{"listed, blocked", tablet, listed, day, blocks(), false, 0, false, 0},
		{"listed, open", tablet, listed, day, opens(0, 4), false, 0, true, 0},
		{"listed, open, by what is old", tablet, listed, day, with(opens(time.Minute, 30), dns.ExtendedErrorCodeStaleAnswer), true, 0, true, 0},
		{"listed, and there is no such name", tablet, listed, day, &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeNameError}}, false, 0, true, 0},
		{"listed, failed", tablet, listed, day, fails(), true, 0, true, 0},
		{"by day", lea, often, day, opens(time.Second, 3), false, 0, false, 0},
		{"by day, blocked", lea, often, day, blocks(), false, 0, true, 0},
		{"at bedtime, blocked", lea, often, night, blocks(), false, 0, false, 0},
		{"at bedtime, open", lea, often, night, opens(time.Second, 3), false, 0, true, 0},
		{"at bedtime, of another", tablet, often, night, opens(time.Second, 3), false, 0, false, 0},
		{"until after bedtime begins", lea, often, night.Add(-2*time.Hour + 10*time.Minute - 30*time.Second), opens(0, 60), false, 0, true, 0},
		{"until bedtime begins", lea, often, night.Add(-2*time.Hour + 10*time.Minute - 30*time.Second), opens(0, 15), false, 0, false, 0},
		{"a grant", lea, granted, night, opens(0, 60), false, 2 * time.Minute, false, 0},
		{"a grant that is over", lea, granted, night, opens(0, 60), false, -time.Second, true, 0},
		{"a grant of another", tablet, granted, night, opens(0, 60), false, time.Minute, true, 0},
		{"without a grant", lea, granted, night, opens(0, 60), false, 0, true, 0},
		{"until after the grant", lea, granted, night, opens(0, 60), false, 30 * time.Second, true, 0},
		{"too old", tablet, often, day, opens(10*time.Second, 1), false, 0, true, 0},
		{"too old, and said to be", tablet, often, day, with(opens(10*time.Second, 30), dns.ExtendedErrorCodeStaleAnswer), false, 0, true, 0},
		{"the same after a wait for a busy upstream", tablet, often, day, with(opens(10*time.Second, 30), dns.ExtendedErrorCodeStaleAnswer), false, 0, false, soakStale},
		{"the same while the upstream is away", tablet, often, day, with(opens(10*time.Second, 30), dns.ExtendedErrorCodeStaleAnswer), true, 0, false, 0},
		{"failed", tablet, often, day, fails(), false, 0, true, 0},
		{"failed while the upstream is away", tablet, often, day, fails(), true, 0, false, 0},
		{"refused", tablet, often, day, &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeRefused}}, true, 0, true, 0},
	} {
		up := &soakTrouble{begun: time.Now().Add(-time.Hour)}
		if tt.away {
			up.away(time.Minute, 1)
		}
		l := newSoakLedger(newSteppedClock(t, tt.at), up)
		if tt.grant != 0 {
			l.granting()(tt.at.Add(tt.grant))
		}
		q := tt.q
		q.device, q.sent = tt.device, time.Now().Add(-tt.waited)
		q.at, q.generation = l.clock.now()
		l.answered(&q, tt.answer)
		if got := l.wrongs > 0; got != tt.wrong {
			t.Errorf("%s: %v, want some: %v", tt.name, l.wrong, tt.wrong)
		}
	}
}
