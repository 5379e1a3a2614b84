def document(candidates, months, markets):
    return ""
