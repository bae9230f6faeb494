from app.web.forms import Code, Form


class CodeForm(Form):
    code = Code()
