"""Names, titles, bodies and messages come from anybody: they are text, everywhere."""

from __future__ import annotations

import json

from playwright.async_api import expect

from tests.browser.conftest import NewContext
from tests.browser.windows import RECORD_TOASTS, Window
from tests.conftest import Running
from tests.postgres import Sql

HOSTILE = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg/onload=window.pwned=1>",
    "<svg><script>window.pwned=1</script></svg>",
    '"><script>window.pwned=1</script>',
    "'><img src=x onerror=window.pwned=1>",
    "</textarea><script>window.pwned=1</script>",
    "</title><script>window.pwned=1</script>",
    "--><script>window.pwned=1</script><!--",
    "<iframe src='javascript:parent.pwned=1'></iframe>",
    "<a href='javascript:window.pwned=1'>click</a>",
    "javascript:window.pwned=1",
    "<body onload=window.pwned=1>",
    "<details open ontoggle=window.pwned=1>",
    "<input autofocus onfocus=window.pwned=1>",
    "<video><source onerror=window.pwned=1></video>",
    "<style>body { display: none }</style>",
    "<link rel=stylesheet href=//example.invalid/x.css>",
    "<meta http-equiv=refresh content='0;url=https://example.invalid'>",
    "<base href=https://example.invalid/>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=1>",
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "&#60;img src=x onerror=window.pwned=1&#62;",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "%3Cscript%3Ewindow.pwned=1%3C/script%3E",
    '{"__html": "<img src=x onerror=window.pwned=1>", "__proto__": {"pwned": 1}}',
    "\u202etxet siht sesrever edirrevo\u202c",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034fa\u0334\u0319\u0324l\u0321\u034ag\u0337\u0300o\u0338",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 " + "W" * 180,
]


async def test_thirty_hostile_texts_are_shown_as_text(demo: Running, new_context: NewContext, other: Sql) -> None:
    """Each as a name, a title, a body and a message, in a post, a comment, a toast and the centre. That nothing runs is
    seen by `window.pwned`, by elements that are not ours, and by the Content-Security-Policy, whose every violation
    fails a test."""
    assert len(HOSTILE) == 30
    context = await new_context(viewport={"width": 1280, "height": 800})
    await context.add_init_script(RECORD_TOASTS)
    page = await context.new_page()
    people = []
    for text in HOSTILE:
        people.append(other.value("INSERT INTO users (name) VALUES (%s) RETURNING id", text))
        other.run("INSERT INTO posts (author_id, title, body) VALUES (1, %s, %s)", text, text)
    first_post = other.value("SELECT min(id) FROM posts WHERE title = %s", HOSTILE[0])
    await page.goto(f"{demo.url}/?as=1")
    ada = Window(page, "Ada")
    await ada.is_live()
    shown: list[str] = []
    for n, (text, person) in enumerate(zip(HOSTILE, people, strict=True)):
        await demo.comment(person, first_post + n, text)
        other.run("SELECT notify.send('1', 'news', %s::jsonb)", json.dumps({"message": text, "fromUser": text}))
        shown += [f"{text} commented on your post", text]
    await ada.has_toasted(*shown)
    articles = ada.region.get_by_role("article")
    while (count := await articles.count()) < len(HOSTILE) + 2:
        await ada.region.get_by_role("button", name="Show older posts").click()
        await expect(articles.nth(count)).to_be_attached()
    for text in HOSTILE:
        post = ada.region.get_by_role("article").filter(has=page.locator("h3", has_text=text)).first
        assert await post.locator("h3").text_content() == text
        assert await post.locator("p.body").first.text_content() == text
        comment = post.get_by_role("listitem").first
        assert await comment.locator("bdi").text_content() == text
        assert await comment.locator("p.body").text_content() == text
    await ada.unread(60)
    centre = await ada.open_centre()
    await centre.get_by_role("button", name="Show older ones").click()
    await expect(centre.locator(".notify-row")).to_have_count(60)
    sentences = await centre.locator(".notify-row .notify-strong:first-child").all_text_contents()
    assert sorted(set(sentences)) == sorted(set(HOSTILE))
    assert await page.evaluate("window.pwned") is None
    assert page.url == f"{demo.url}/?as=1"
    ours = "main, header, footer, section, article, div, p, h1, h2, h3, ul, li, form, label, textarea, button, span"
    foreign = "script:not([src]), iframe, object, embed, img, video, base, math, style, body link, body meta, details"
    assert await page.locator(ours).count() > 100
    assert await page.locator(foreign).count() == 0


async def test_long_and_strange_texts_do_not_burst_a_phone(demo: Running, new_context: NewContext, other: Sql) -> None:
    context = await new_context(viewport={"width": 390, "height": 844})
    page = await context.new_page()
    person = other.value("INSERT INTO users (name) VALUES (%s) RETURNING id", "N" * 250)
    post = other.value(
        "INSERT INTO posts (author_id, title, body) VALUES (1, %s, %s) RETURNING id", "T" * 250, "B" * 999
    )
    await page.goto(f"{demo.url}/?as=1")
    ada = Window(page, "Ada")
    await ada.is_live()
    await demo.comment(person, post, "C" * 999)
    await demo.comment(person, post, "\u202e" + "\u0645\u0631\u062d\u0628\u0627 " * 50)
    await ada.unread(2)
    await expect(ada.region.locator(".Toastify__toast")).to_have_count(2)
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await ada.open_centre()
    await expect(ada.centre.get_by_role("listitem")).to_have_count(1)
    beyond: list[str] = await page.evaluate(
        "[...document.querySelectorAll('.notify *')].filter((one) => one.getBoundingClientRect().right > 390)"
        ".map((one) => one.className)"
    )
    assert beyond == []
