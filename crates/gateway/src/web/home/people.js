// Who is here: presence over a topic, and the list of people.

// ---- who is here ----

function hello(fresh) {
  return session
    .publish(LOBBY, { fresh }, { event: "hello", echo: false, ttl: 30 })
    .catch(() => {});
}

function presence(name, event, data) {
  if (!name || name === session.client) return;
  if (event === "bye") {
    if (people.has(name)) note(`${name} left`);
    return forget(name);
  }
  if (!people.has(name)) {
    people.set(name, { item: person(name) });
    note(`${name} is here`);
  }
  people.get(name).at = Date.now();
  // A new client knows no one yet: all answer, but not at the same time.
  if (data?.fresh) setTimeout(() => session.readyState === 1 && hello(false), Math.random() * 500);
  showPeople();
}

function forget(name) {
  people.get(name)?.item.remove();
  people.delete(name);
  chosen.delete(name);
  showPeople();
}

function person(name) {
  const box = element("input");
  box.type = "checkbox";
  box.checked = chosen.has(name);
  box.addEventListener("change", () => {
    if (box.checked) chosen.add(name);
    else chosen.delete(name);
    $("compose").elements.target.value = "people";
    showTarget();
  });
  const title = element("span", "name", name);
  title.title = name;
  const item = element("li", "", element("label", "", box, title, element("span", "age")));
  const after = [...people].find(([other]) => other > name)?.[1].item ?? null;
  $("people").insertBefore(item, after);
  return item;
}

function showPeople() {
  for (const [name, { at, item }] of people) {
    const age = Date.now() - at;
    if (age > GONE_MS) {
      note(`${name} has not been heard of for ${Math.round(age / 1000)} s`);
      return forget(name);
    }
    item.classList.toggle("fresh", age < HELLO_MS * 1.5);
    item.querySelector(".age").textContent = age < 1500 ? "now" : `${Math.round(age / 1000)} s ago`;
  }
  $("people-count").textContent = people.size;
  $("nobody").hidden = people.size > 0;
  showTarget();
}
