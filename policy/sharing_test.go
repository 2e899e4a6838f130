package policy

import (
	"testing"
	"time"
	"unsafe"
	"weak"

	"kinward/blocklists"
)

// TestRulesShareTheRest: families that differ in rules only share all else, but
// where a rule ends by itself, which is part of the policy's times.
func TestRulesShareTheRest(t *testing.T) {
	w := newWorld(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	d := emptyDirectory(presets, w.Index)
	policyOf := func(id FamilyID, rules ...Rule) *Policy {
		bedtime := Schedule{ID: 9, Windows: []Window{{Days: 0x7F, From: 20 * 60, To: 7 * 60}}}
		f := &Family{ID: id, Zone: "Europe/Berlin", Default: 1, Profiles: []Profile{{ID: 1, Preset: BandC, Rules: rules, Schedules: []Schedule{bedtime}}}}
		if d, err = d.With(f, 1); err != nil {
			t.Fatal(err)
		}
		a, _ := d.Device(id, 0, at)
		return a.Policy
	}
	rule := func(name string) Rule { return Rule{ID: 2, Name: blocklists.MustName(name)} }
	ends := rule("a.example")
	ends.Until = at.Add(time.Hour)

	plain, a, b, ending := policyOf(1), policyOf(2, rule("a.example")), policyOf(3, rule("b.example")), policyOf(4, ends)
	if plain.choices != a.choices || a.choices != b.choices {
		t.Error("policies that differ in rules only do not share the rest")
	}
	if ending.choices == a.choices || !ending.NextChange(at).Equal(ends.Until) || a.NextChange(at).Equal(ends.Until) {
		t.Error("a rule that ends has no effect on when the policy changes, or one on a policy without it")
	}
	if size := unsafe.Sizeof(Policy{}); size != 64 {
		t.Errorf("a policy takes %d bytes and not one line of the processor's cache", size)
	}
}

// TestUnmakeChoices: what no policy has is not kept.
func TestUnmakeChoices(t *testing.T) {
	w := newWorld(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	b := newBasis(presets, w.Index)
	c, err := b.choicesOf(&source{Profile: Profile{Preset: BandC}})
	if err != nil {
		t.Fatal(err)
	}
	for key := range b.made {
		if b.unmake(key); b.made[key].Value() != c {
			t.Error("choices that a policy has were forgotten")
		}
		b.made[key] = weak.Pointer[choices]{}
		if b.unmake(key); len(b.made) != 0 {
			t.Error("choices that are gone are kept")
		}
	}
}
