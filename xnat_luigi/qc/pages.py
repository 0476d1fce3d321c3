"""The two HTML pages as templates: one session, and the index of a run. No network, no other file.

Status is told by word and sign, not by colour alone; the colours are distinct for colour-blind eyes
(Okabe and Ito). Everything can be reached and worked with the keyboard.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light; --pass: #00715a; --warn: #8a5a00; --fail: #a3160a; --line: #c9ced6; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem;
  color: #1a1d21; background: #fff; }
h1 { font-size: 1.45rem; margin: .2rem 0; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem; }
.verdict { border-left: .6rem solid; padding: .5rem .9rem; background: #f5f6f8; }
.verdict strong { font-size: 1.25rem; }
.pass { color: var(--pass); } .warn { color: var(--warn); } .fail { color: var(--fail); }
.verdict.pass, .verdict.warn, .verdict.fail { border-color: currentColor; }
.verdict p, .verdict ul { color: #1a1d21; margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; font-weight: 600; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { background: #eef0f3; position: sticky; top: 0; white-space: nowrap; }
td.name { min-width: 7rem; }
td.status { white-space: nowrap; font-weight: 600; }
.strip { display: flex; gap: .5rem; flex-wrap: wrap; margin: 0; padding: 0; list-style: none; }
.strip figure { margin: 0; } .strip img { background: #000; display: block; image-rendering: auto; }
.strip figcaption { font-size: .78rem; color: #4a5058; max-width: 14rem; }
.tools { display: flex; gap: .6rem; flex-wrap: wrap; align-items: center; margin: .8rem 0; }
.tools button { font: inherit; padding: .25rem .7rem; border: 2px solid var(--line);
  background: #fff; border-radius: .3rem; cursor: pointer; }
.tools button[aria-pressed="true"] { border-color: #1a1d21; background: #e8ebf0; }
.tools input, .tools select { font: inherit; padding: .25rem .4rem; border: 2px solid var(--line); }
:focus-visible { outline: 3px solid #0060b5; outline-offset: 2px; }
.quiet { color: #4a5058; } details summary { cursor: pointer; }
@media (max-width: 42rem) { th { white-space: normal; } td.name { min-width: 0; }
  th, td { padding: .3rem; overflow-wrap: anywhere; } }
@media print { .tools { display: none; } }
"""

SESSION = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ session }} - {{ verdict.status }}</title><style>{{ style }}</style></head><body>
<main>
<h1>{{ session }}</h1>
<p class="quiet">{{ about }}</p>
<section class="verdict {{ verdict.status }}" aria-label="verdict">
<strong id="verdict">{{ sign[verdict.status] }} {{ verdict.status }}</strong>
{% if verdict.reasons %}<ul>
{% for reason in verdict.reasons %}<li>{{ reason }}</li>{% endfor %}</ul>
{% else %}<p>Every rule is met.</p>{% endif %}
</section>
<section><h2>Pictures</h2>
{% for series in strips %}<h3>{{ series.title }}</h3>
<ul class="strip">{% for one in series.thumbnails %}<li><figure>
{%- if one.png %}
<img src="{{ one.data_uri }}" alt="{{ series.title }}, {{ one.caption }}">{% endif -%}
<figcaption>{{ one.caption }}</figcaption></figure></li>{% endfor %}</ul>
{% else %}<p>There is no series to show.</p>{% endfor %}</section>
{% if expected %}<section><h2>Expected beside what came</h2>
<table id="expected"><thead><tr><th scope="col">Status</th><th scope="col">Series</th>
<th scope="col">Expected</th><th scope="col">Came</th></tr></thead><tbody>
{% for line in expected %}<tr><td class="status {{ line.status }}">
{{ sign[line.status] }} {{ line.status }}</td>
<td>{{ line.name }}</td><td>{{ line.wanted }}</td>
<td>{% for one in line.came %}{{ one }}<br>{% else %}none{% endfor %}</td></tr>
{% endfor %}</tbody></table></section>{% endif %}
<section><h2>Rules</h2>
<div class="tools" role="group" aria-label="show findings">
{% for name in ("fail", "warn", "pass") %}<button type="button" data-status="{{ name }}"
 aria-pressed="true">{{ sign[name] }} {{ name }} ({{ counts[name] }})</button>{% endfor %}
</div>
<table id="findings"><thead><tr><th scope="col">Status</th><th scope="col">Rule</th>
<th scope="col">What</th><th scope="col">Found</th><th scope="col">Wanted</th></tr></thead><tbody>
{% for found in verdict.ordered %}<tr data-status="{{ found.status }}">
<td class="status {{ found.status }}">{{ sign[found.status] }} {{ found.status }}</td>
<td>{{ found.rule }}</td><td>{{ found.message }}
{%- if found.files %}<details><summary>{{ found.files|length }} files</summary>
{% for path in found.files %}{{ path }}<br>{% endfor %}</details>{% endif %}</td>
<td>{{ found.found }}</td><td>{{ found.wanted }}</td></tr>
{% endfor %}</tbody></table></section>
{% for title, lines in notes %}<section><h2>{{ title }}</h2>
<ul>{% for line in lines %}<li>{{ line }}</li>{% endfor %}</ul></section>{% endfor %}
<p class="quiet">Made by xnat-luigi {{ version }} on {{ made }}.</p>
</main>
<script>
const shown = new Set(["fail", "warn", "pass"]);
for (const button of document.querySelectorAll("button[data-status]")) {
  button.addEventListener("click", () => {
    const status = button.dataset.status;
    if (!shown.delete(status)) shown.add(status);
    button.setAttribute("aria-pressed", shown.has(status));
    for (const row of document.querySelectorAll("#findings tbody tr"))
      row.hidden = !shown.has(row.dataset.status);
  });
}
</script></body></html>
"""

INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>{{ style }}</style></head><body>
<main>
<h1>{{ title }}</h1>
<p id="summary" class="quiet" aria-live="polite"></p>
<div class="tools" role="search" aria-label="filters">
{% for name in ("fail", "warn", "pass") %}<button type="button" data-status="{{ name }}"
 aria-pressed="true">{{ sign[name] }} {{ name }} ({{ counts[name] }})</button>{% endfor %}
<label>Project <select id="project"><option value="">all</option>
{% for name in projects %}<option>{{ name }}</option>{% endfor %}</select></label>
<label>Find <input id="find" type="search" placeholder="session, subject, reason"></label>
</div>
<table id="sessions"><thead><tr><th scope="col">Status</th><th scope="col">Session</th>
<th scope="col">Subject</th><th scope="col">Project</th><th scope="col">Reasons</th>
<th scope="col">Checked</th></tr></thead><tbody>
{% for one in sessions %}<tr data-status="{{ one.status }}" data-project="{{ one.project }}">
<td class="status {{ one.status }}">{{ sign[one.status] }} {{ one.status }}</td>
<td class="name"><a href="{{ one.href }}">{{ one.session }}</a></td><td>{{ one.subject }}</td>
<td>{{ one.project }}</td>
<td>{% for reason in one.reasons %}{{ reason }}<br>{% endfor %}</td><td>{{ one.made }}</td></tr>
{% endfor %}</tbody></table>
</main>
<script>
const rows = [...document.querySelectorAll("#sessions tbody tr")];
const shown = new Set(["fail", "warn", "pass"]);
const find = document.getElementById("find"), project = document.getElementById("project");
function apply() {
  const words = find.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = shown.has(row.dataset.status)
      && (!project.value || row.dataset.project === project.value)
      && words.every(word => text.includes(word));
    row.hidden = !fits;
    count += fits;
  }
  document.getElementById("summary").textContent = `${count} of ${rows.length} sessions shown`;
}
for (const button of document.querySelectorAll("button[data-status]")) {
  button.addEventListener("click", () => {
    const status = button.dataset.status;
    if (!shown.delete(status)) shown.add(status);
    button.setAttribute("aria-pressed", shown.has(status));
    apply();
  });
}
find.addEventListener("input", apply);
project.addEventListener("change", apply);
apply();
</script></body></html>
"""
