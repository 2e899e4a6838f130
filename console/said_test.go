package console

import "testing"

func TestSaid(t *testing.T) {
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	de := texts.choose("de")
	for english, want := range map[string]string{
		`it was blocked`: "es wurde gesperrt",
		`chose "watch" for category social in profile Lea`:                               "im Profil Lea „erlauben und aufzeichnen“ gewählt für die Art Soziale Medien",
		`took back "block" for service tiktok in profile Tom`:                            "im Profil Tom „sperren“ für den Dienst tiktok zurückgenommen",
		`added device Tab (192.0.2.7, encrypted DNS) to profile Lea`:                     "das Gerät Tab (192.0.2.7, verschlüsseltes DNS) zum Profil Lea hinzugefügt",
		`added device Lea's phone (192.0.2.7) to profile Lea until 2026-12-01T10:00:00Z`: "das Gerät Lea's phone (192.0.2.7) bis 2026-12-01T10:00:00Z zum Profil Lea hinzugefügt",
		`profile "Lea": category social is "watch", not "block"`:                         "Profil „Lea“: die Art „Soziale Medien“ ist auf „erlauben und aufzeichnen“ statt „sperren“",
		`granted example.org to profile Lea until 2026-12-01T10:00:00Z`:                  "für das Profil Lea bis 2026-12-01T10:00:00Z freigegeben: example.org",
		`added rule 3 to profile Lea: deny example.org and all below it`:                 "dem Profil Lea die Regel 3 hinzugefügt: example.org und alles darunter sperren",
		`Removed guardian Tom.`:         "Tom als erwachsene Person entfernt.",
		`added guardian Eva (owner)`:    "Eva zu den Erwachsenen der Familie hinzugefügt (verantwortlich)",
		`Added profile Mia (preset E).`: "Das Profil Mia hinzugefügt (16–17 Jahre).",
		`made the family Home with profile Everyone (preset C) for every device, and profile Adults (preset adult)`:    "die Familie Home angelegt, mit dem Profil Everyone (11–12 Jahre) für jedes Gerät und dem Profil Adults (Erwachsene)",
		`Took back change 14 (took back change 12 (added guardian Eva (owner))); what it changed is as it was before.`: "Die Änderung 14 zurückgenommen (die Änderung 12 zurückgenommen (Eva zu den Erwachsenen der Familie hinzugefügt (verantwortlich))); was sie änderte, ist wieder wie zuvor.",
		`service kik is "allow", whatever it was`:                                                                           "der Dienst kik ist auf „erlauben“, was immer vorher galt",
		`the safe mode of search engines bing, youtube is off`:                                                              "der sichere Modus von bing, youtube ist „aus“",
		`profile Lea applies, not Everyone, and that is weaker: the safe mode of search engine youtube is off, and 16 more`: "das Profil Lea gilt statt Everyone, und das ist schwächer: der sichere Modus von youtube ist „aus“ und 16 weitere",
		`kik.com is allowed for Lea's phone (profile Lea): Eva opened Kik until Mon 23 Nov 16:00 (grant 11).`:               "kik.com ist erlaubt für Lea's phone (Profil Lea): Eva gab Kik bis Mo 23. November 16:00 frei (Freigabe 11).",
		`kik.com is allowed for Lea's phone (profile Lea): Eva opened Kik until Mon 23 Nov 16:00 (grant 11): a talk.`:       "kik.com ist erlaubt für Lea's phone (Profil Lea): Eva gab Kik bis Mo 23. November 16:00 frei (Freigabe 11): a talk.",
		`kik.com is allowed for Lea's phone (profile Lea): Kik is open until Mon 23 Nov 16:00 (grant 11): a talk.`:          "kik.com ist erlaubt für Lea's phone (Profil Lea): Kik ist bis Mo 23. November 16:00 freigegeben (Freigabe 11): a talk.",
		`something that nobody translated`:                                                                                  "something that nobody translated",
	} {
		if got := de.said(english); got != want {
			t.Errorf("%s\n got %s\nwant %s", english, got, want)
		}
	}
}

// A refusal is said without what was being done; what has no words is quoted, and on
// pages marked as English.
func TestRefusal(t *testing.T) {
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	de, en := texts.choose("de"), texts.choose("en")
	for english, want := range map[string]string{
		`Adding device "A: b": there is a device "A: b" already (192.0.2.7); choose another name.`:       "Es gibt schon ein Gerät „A: b“ (192.0.2.7); wählen Sie einen anderen Namen.",
		`Reading the webhook's address: "ftp" is not https.`:                                             "„ftp“ ist nicht https.",
		`Adding a schedule: reading window "x": write days and times, for example Mon-Fri 21:30-06:30.`:  "Das Zeitfenster „x“ ist nicht zu verstehen: schreiben Sie Tage und Zeiten, zum Beispiel Mon-Fri 21:30-06:30.",
		`Profile "Lea", rule 2 (a.example): there is no rule 7; look again at the rules that there are.`: "Profil „Lea“, Regel 2 (a.example): die Regel 7 gibt es nicht; sehen Sie nach, welche es gibt.",
		`Something that nobody translated.`:                                                              "Das ging nicht. Den Grund gibt es nur auf Englisch: Something that nobody translated.",
	} {
		if got := de.refusal(english); got != want {
			t.Errorf("%s\n got %s\nwant %s", english, got, want)
		}
		if got := en.refusal(english); got != english {
			t.Errorf("in English %s", got)
		}
	}
	for english, want := range map[string]string{
		`Chat with strangers`:            "Chatten mit Fremden",
		`A <b> of a later edition: new.`: `<span lang="en">A &lt;b&gt; of a later edition: new.</span>`,
		`New is listed as "Chat with strangers": something that a later edition says.`:                                                                         `<span lang="en">New is listed as &#34;Chat with strangers&#34;: something that a later edition says.</span>`,
		`Chatrandom is listed as "Chat with strangers": brings your child into text or video chat with unknown adults, mostly without checking anybody's age.`: "Chatrandom zählt zu „Chatten mit Fremden“: Bringt Ihr Kind in Text- oder Videochats mit unbekannten Erwachsenen, meist ohne jede Altersprüfung.",
		`116 111`:                            "116 111",
		`Mon-Sat 14:00-20:00`:                "Mo-Sa 14:00-20:00",
		`Fri 27 Nov 2026 19:47`:              "Fr 27. November 2026 19:47",
		`official pages, a look at the site`: "offizielle Seiten, ein Blick auf die Seite selbst",
	} {
		if got := string(de.say(english)); got != want {
			t.Errorf("%s\n got %s\nwant %s", english, got, want)
		}
	}
}

// TestTold: the record of changes names services, kinds, ages and who agreed as
// parents know them, whichever language they read.
func TestTold(t *testing.T) {
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	en, de := texts.choose("en"), texts.choose("de")
	for recorded, want := range map[string][2]string{
		`Chose "allow" for service roblox in profile Lea.`: {`Chose &#34;allow&#34; for service Roblox in profile Lea.`, `Im Profil Lea „erlauben“ gewählt für den Dienst Roblox.`},
		`Granted service hotornot to profile Lea until Sat 28 Nov 2026 13:04.`: {
			`Granted service Hot or Not to profile Lea until Sat 28 Nov 2026 13:04.`, `Für das Profil Lea bis Sa 28. November 2026 13:04 freigegeben: den Dienst Hot or Not.`,
		},
		`Revoked grant 12 of profile Lea for category dating.`: {`Revoked grant 12 of profile Lea for &#34;Dating &amp; hook-ups&#34;.`, `Die Freigabe 12 des Profils Lea für die Art „Dating und Treffen“ beendet.`},
		`category dating is granted until Sat 28 Nov 2026 13:04`: {
			`&#34;Dating &amp; hook-ups&#34; is granted until Sat 28 Nov 2026 13:04`, `die Art „Dating und Treffen“ ist bis Sa 28. November 2026 13:04 freigegeben`,
		},
		`added schedule Bed to profile Lea: block service tiktok Mon 20:30-06:30`: {
			`added schedule Bed to profile Lea: block service TikTok Mon 20:30-06:30`, `dem Profil Lea den Zeitplan Bed hinzugefügt: sperren: den Dienst TikTok, Mo 20:30-06:30`,
		},
		`category dating is "allow", not "block"`: {`&#34;Dating &amp; hook-ups&#34; is &#34;allow&#34;, not &#34;block&#34;`, `die Art „Dating und Treffen“ ist auf „erlauben“ statt „sperren“`},
		`Added profile Lea (preset D).`:           {`Added profile Lea (13–15 years).`, `Das Profil Lea hinzugefügt (13–15 Jahre).`},
		`Changed the preset of profile Lea from D to E.`: {
			`Changed the age of profile Lea from 13–15 years to 16–17 years.`, `Die Altersstufe des Profils Lea von 13–15 Jahre in 16–17 Jahre geändert.`,
		},
		`Could not make what Tom wanted: chose "allow" for service roblox in profile Lea (by now it would weaken more than it was to: profile "Lea": service roblox is "allow", not "block").`: {
			`Could not make what Tom wanted: chose &#34;allow&#34; for service Roblox in profile Lea (by now it would weaken more than it was to: profile &#34;Lea&#34;: service Roblox is &#34;allow&#34;, not &#34;block&#34;).`,
			`Nicht ausgeführt, was Tom wollte: im Profil Lea „erlauben“ gewählt für den Dienst Roblox (inzwischen würde es mehr schwächen, als es sollte: Profil „Lea“: der Dienst Roblox ist auf „erlauben“ statt „sperren“).`,
		},
		`of category social less is recorded (none, not item)`: {
			`of &#34;Social media&#34; less is recorded (nothing, not names and times)`, `von der Art „Soziale Medien“ wird weniger aufgezeichnet (nichts statt mit Namen)`,
		},
		`service of the house`: {`service of the house`, `<span lang="en">service of the house</span>`},
	} {
		for i, l := range []*textLanguage{en, de} {
			if got := string(l.told(recorded)); got != want[i] {
				t.Errorf("%s, in %s\n got %s\nwant %s", recorded, l.tag, got, want[i])
			}
		}
	}
	for recorded, want := range map[string]string{"Eva (Karl agreed)": "Eva (Karl stimmte zu)", "Karl agreed": "Karl stimmte zu", "Eva": "Eva"} {
		if got := de.who(recorded); got != want || en.who(recorded) != recorded {
			t.Errorf("%s: %s, want %s", recorded, got, want)
		}
	}
	for recorded, want := range map[string]string{"Lea asked": "Lea hat gefragt", "nothing": "nothing"} {
		if got := de.why(recorded); got != want || en.why(recorded) != recorded {
			t.Errorf("%s: %s, want %s", recorded, got, want)
		}
	}
}

func BenchmarkSaid(b *testing.B) {
	texts, err := loadTexts()
	if err != nil {
		b.Fatal(err)
	}
	de := texts.choose("de")
	for b.Loop() {
		de.say(`Chatrandom is listed as "Chat with strangers": brings your child into text or video chat with unknown adults, mostly without checking anybody's age.`)
		de.say(`Added rule 3 to profile Lea: deny example.org and all below it.`)
		de.say(`Something that nobody has words for, and that is as long as such sentences are.`)
	}
}

// TestSaidDays: the days of the week are German wherever a sentence names them.
func TestSaidDays(t *testing.T) {
	for english, want := range map[string]string{
		"added schedule Bed to profile Lea: block everything Sun-Thu 20:30-06:30, Fri,Sat 22:00-08:00":      "dem Profil Lea den Zeitplan Bed hinzugefügt: sperren: alles, So-Do 20:30-06:30, Fr,Sa 22:00-08:00",
		"everything is closed outside \"Play\" (Mon-Fri 14:00-16:00; Sat,Sun 10:00-12:00)":                  "außerhalb von „Play“ (Mo-Fr 14:00-16:00; Sa,So 10:00-12:00) ist alles geschlossen",
		"added schedule Rest to profile Lea: block everything Sun 15:00 for 24 hours, Fri,Sat 22:00-08:00":  "dem Profil Lea den Zeitplan Rest hinzugefügt: sperren: alles, So 15:00 für 24 Stunden, Fr,Sa 22:00-08:00",
		"schedule Rest of profile Lea holds 10:00-12:00 15:00 for 24 hours on 2026-12-24":                   "der Zeitplan Rest des Profils Lea gilt 10:00-12:00 15:00 für 24 Stunden am 2026-12-24",
		"everything is blocked at fewer times: not on holidays from Sun 21:00":                              "alles ist zu weniger Zeiten gesperrt: nicht in den Ferien ab So 21:00",
		"two of its windows overlap at Sun 21:00; make them one":                                            "zwei seiner Zeitfenster überschneiden sich um So 21:00; machen Sie eines daraus",
		"schedule \"Bed\" does the same at Sun 21:00; change the windows of one, or make them one schedule": "der Zeitplan „Bed“ tut um So 21:00 dasselbe; ändern Sie die Zeitfenster, oder machen Sie einen Zeitplan daraus",
	} {
		if got := Said("de", english); got != want {
			t.Errorf("%q\nis %q\nwant %q", english, got, want)
		}
	}
}
