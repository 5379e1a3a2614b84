//+------------------------------------------------------------------+
//| CalendarExport.mq5                                               |
//| Writes the terminal's economic calendar to a CSV file for        |
//| NEWS_FILE, once an hour, until the service is stopped.           |
//|                                                                  |
//| Not compiled by its author: build it in MetaEditor (F7) and read |
//| its first file before you rely on it.                            |
//|                                                                  |
//| Install: copy to MQL5\Services, compile, then Navigator >        |
//| Services > Add service > Start. As a service it needs no chart   |
//| and starts with the terminal.                                    |
//+------------------------------------------------------------------+
#property service
#property version "1.00"

input string FileName     = "news.csv"; // file in the terminals' common folder: Terminal\Common\Files
input int    DaysBack     = 1;          // days before now
input int    DaysAhead    = 14;         // days after now
input int    EveryMinutes = 60;         // minutes between two files

//+------------------------------------------------------------------+
//| The words that NEWS_IMPACT knows; none of them: the row is left  |
//| out, since the calendar itself gives it no weight.               |
//+------------------------------------------------------------------+
string Impact(const ENUM_CALENDAR_EVENT_IMPORTANCE importance)
  {
   switch(importance)
     {
      case CALENDAR_IMPORTANCE_LOW:
         return("low");
      case CALENDAR_IMPORTANCE_MODERATE:
         return("medium");
      case CALENDAR_IMPORTANCE_HIGH:
         return("high");
     }
   return("");
  }

//+------------------------------------------------------------------+
//| A field between double quotes; those inside are doubled.         |
//+------------------------------------------------------------------+
string Quoted(string text)
  {
   StringReplace(text, "\"", "\"\"");
   StringReplace(text, "\r", " ");
   StringReplace(text, "\n", " ");
   return("\"" + text + "\"");
  }

//+------------------------------------------------------------------+
//| One line of the file; empty where a value belongs to no event    |
//| that we can describe. Times are those of the trade server.       |
//+------------------------------------------------------------------+
string Line(const MqlCalendarValue &value)
  {
   MqlCalendarEvent event;
   if(!CalendarEventById(value.event_id, event))
      return("");
   MqlCalendarCountry country;
   if(!CalendarCountryById(event.country_id, country))
      return("");
   const string impact = Impact(event.importance);
   if(impact == "" || StringLen(country.currency) != 3)
      return("");
   return(TimeToString(value.time, TIME_DATE | TIME_SECONDS) + "," + country.currency + "," + impact + "," + Quoted(event.name) + "\n");
  }

//+------------------------------------------------------------------+
//| Writes all values of the span. The file is written under another |
//| name and moved, so that nobody reads half of it.                 |
//+------------------------------------------------------------------+
bool Export()
  {
   const datetime now = TimeTradeServer();
   MqlCalendarValue values[];
   ResetLastError();
   if(!CalendarValueHistory(values, now - DaysBack * 86400, now + DaysAhead * 86400))
     {
      PrintFormat("CalendarExport: the calendar cannot be read, error %d", GetLastError());
      return(false);
     }
   const string part = FileName + ".part";
   const int file = FileOpen(part, FILE_WRITE | FILE_TXT | FILE_ANSI | FILE_COMMON, 0, CP_UTF8);
   if(file == INVALID_HANDLE)
     {
      PrintFormat("CalendarExport: %s cannot be opened, error %d", part, GetLastError());
      return(false);
     }
   FileWriteString(file, "time_server,currency,impact,title\n");
   int written = 0;
   for(int i = 0; i < ArraySize(values); i++)
     {
      const string line = Line(values[i]);
      if(line == "")
         continue;
      FileWriteString(file, line);
      written++;
     }
   FileClose(file);
   if(!FileMove(part, FILE_COMMON, FileName, FILE_COMMON | FILE_REWRITE))
     {
      PrintFormat("CalendarExport: %s cannot be replaced, error %d", FileName, GetLastError());
      return(false);
     }
   PrintFormat("CalendarExport: %d releases written to %s", written, FileName);
   return(true);
  }

//+------------------------------------------------------------------+
//| A service runs until it is stopped. After a failure, such as a   |
//| calendar that is still loading, it tries again in a minute.      |
//+------------------------------------------------------------------+
void OnStart()
  {
   while(!IsStopped())
     {
      const int minutes = Export() && EveryMinutes > 1 ? EveryMinutes : 1;
      for(int second = 0; second < minutes * 60 && !IsStopped(); second++)
         Sleep(1000);
     }
  }
//+------------------------------------------------------------------+
