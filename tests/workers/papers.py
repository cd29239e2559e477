"""Documents made by hand, good and hostile: the PDF files that no program would write."""

import io
import zlib
from collections.abc import Sequence

import pypdf


def pdf(*objects: bytes, catalog: bytes = b"<</Type/Catalog/Pages 2 0 R>>") -> bytes:
    """A file of these objects, numbered from 2, with a right table of where they are."""
    parts, places = [b"%PDF-1.7\n"], [0]
    for number, text in enumerate((catalog, *objects), 1):
        places.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, text))
    begin = sum(map(len, parts))
    table = b"".join(b"%010d 00000 n \n" % place for place in places[1:])
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(places), table))
    parts.append(b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(places), begin))
    return b"".join(parts)


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), entries, content)


def pages(*contents: bytes, resources: bytes = b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>") -> bytes:
    """A file with one page for each of these content streams, given as whole objects."""
    kids = b" ".join(b"%d 0 R" % (3 + 2 * place) for place in range(len(contents)))
    objects = [b"<</Type/Pages/Kids[%s]/Count %d/MediaBox[0 0 600 800]>>" % (kids, len(contents))]
    for place, content in enumerate(contents):
        page = b"<</Type/Page/Parent 2 0 R/Contents %d 0 R/Resources<<%s>>>>" % (4 + 2 * place, resources)
        objects += [page, content]
    return pdf(*objects)


def shown(*lines: str) -> bytes:
    """A content stream that shows these lines."""
    shows = b" ".join(b"(%s) Tj T*" % line.encode("latin-1") for line in lines)
    return stream(b"BT /F1 12 Tf 14 TL 50 700 Td %s ET" % shows)


def encrypted(user_password: str) -> bytes:
    """A page under a password; an empty one only forbids things."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pages(shown("The code is 19."))))
    writer.encrypt(user_password, "owner", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def titled(title: str) -> bytes:
    """A page whose document is called so."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pages(shown("x"))))
    writer.add_metadata({"/Title": title})
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def bomb(size: int) -> bytes:
    """A page whose content is that many zeros, packed."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()
    return pages(stream(packed, b"/Filter/FlateDecode"))


def nested_bomb(size: int) -> bytes:
    """A PDF whose contents are packed three times over: a few hundred bytes."""
    content = zlib.compress(zlib.compress(zlib.compress(bytes(size), 9), 9), 9)
    return pages(stream(content, b"/Filter[/FlateDecode/FlateDecode/FlateDecode]"))


def tree_of_itself() -> bytes:
    """The page tree's root is its own child."""
    return pdf(b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>")


def tree_of_parents() -> bytes:
    """Two nodes of the page tree that are each other's parent and child."""
    return pdf(b"<</Type/Pages/Kids[3 0 R]/Count 1/Parent 3 0 R>>", b"<</Type/Pages/Kids[2 0 R]/Count 1/Parent 2 0 R>>")


def same_page_often(times: int, content: bytes | None = None) -> bytes:
    """One page, listed that many times: a small file that takes long, if its content does."""
    kids = b"3 0 R " * times
    page = b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<<>>>>>>"
    return pdf(b"<</Type/Pages/Kids[%s]/Count %d/MediaBox[0 0 9 9]>>" % (kids, times), page, content or shown("again"))


def doubling_tree(depth: int) -> bytes:
    """A page tree in which each node lists the next one twice: two to the power of the depth pages."""
    nodes = [b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count 2>>" % (number, number) for number in range(3, 3 + depth)]
    return pdf(*nodes, b"<</Type/Page/MediaBox[0 0 9 9]>>")


def deep_arrays(depth: int) -> bytes:
    """A page whose resources are arrays in arrays."""
    return pages(shown("deep"), resources=b"/Font " + b"[" * depth + b"]" * depth)


def form_of_itself() -> bytes:
    """A page that shows a form, which shows itself and another that shows the first."""
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</A 5 0 R/B 6 0 R>>>>"
    return pdf(
        b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 9 9]>>",
        b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</XObject<</A 5 0 R>>>>>>",
        stream(b"/A Do"),
        stream(b"/A Do /B Do /B Do", form),
        stream(b"/A Do /A Do", form),
    )


def object_streams_of_themselves() -> bytes:
    """The catalogue is in an object stream that is said to be in itself, and that extends itself."""
    head = b"%PDF-1.7\n"
    packed = stream(b"1 0 <</Type/Catalog/Pages 1 0 R>>", b"/Type/ObjStm/N 1/First 4/Extends 2 0 R")
    body = b"2 0 obj\n" + packed + b"\nendobj\n"
    entries = bytes([0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 2, 0])  # objects 1 and 2: in the stream that is object 2
    table = stream(entries, b"/Type/XRef/Size 3/W[1 2 1]/Root 1 0 R/Prev %d" % (len(head) + len(body)))
    begin = len(head) + len(body)
    return head + body + b"3 0 obj\n" + table + b"\nendobj\nstartxref\n%d\n%%%%EOF" % begin


def image_only() -> bytes:
    """What a scanner writes."""
    image = stream(b"\0", b"/Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray")
    return pdf(
        b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 9 9]>>",
        b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>",
        stream(b"q 9 0 0 9 0 0 cm /I Do Q"),
        image,
    )


def table_that_points(places: Sequence[int]) -> bytes:
    """A file whose end points at each of these places in turn as its table: loops, beyond the end, below zero."""
    trailer = b"".join(b"xref\n0 1\n0000000000 65535 f \ntrailer<</Size 9/Prev %d>>\n" % place for place in places)
    return b"%PDF-1.7\n" + trailer + b"startxref\n9\n%%EOF"
